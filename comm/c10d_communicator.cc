#include "comm/c10d_communicator.h"

#include <ATen/ATen.h>
#include <c10/util/Flags.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <ifaddrs.h>
#include <net/if.h>

#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <set>
#include <torch/csrc/distributed/c10d/HashStore.hpp>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <utility>
#include <vector>

#include "comm/comm_error.h"

C10_DECLARE_int(caffe2_log_level);

namespace fastclip {
namespace {

/// c10's errors carry a stack; people need their first line.
std::string Reason(const std::exception& error) {
  const auto* c10_error = dynamic_cast<const c10::Error*>(&error);
  const std::string text = c10_error ? c10_error->what_without_backtrace() : error.what();
  return text.substr(0, text.find('\n'));
}

class C10dStore final : public Store {
 public:
  explicit C10dStore(c10::intrusive_ptr<c10d::Store> store) : store_(std::move(store)) {}

  const c10::intrusive_ptr<c10d::Store>& c10d() const { return store_; }

  void Set(const std::string& key, const std::string& value) override {
    Try([&] { store_->set(key, value); });
  }
  std::optional<std::string> Get(const std::string& key) override {
    return Try([&]() -> std::optional<std::string> {
      if (!store_->check({key})) return std::nullopt;  // get() alone would wait
      return store_->get_to_str(key);
    });
  }
  bool SetIfAbsent(const std::string& key, const std::string& value) override {
    return Try([&] { return store_->compareSet(key, "", value) == value; });
  }
  void Push(const std::string& queue, const std::string& value) override {
    Try([&] { store_->queuePush(queue, Bytes(value)); });
  }
  std::optional<std::string> Pop(const std::string& queue) override {
    return Try([&]() -> std::optional<std::string> {
      if (store_->queueLen(queue) == 0) return std::nullopt;
      const std::vector<std::uint8_t> bytes = store_->queuePop(queue, /*block=*/false);
      return std::string(bytes.begin(), bytes.end());
    });
  }
  std::unique_ptr<Store> Clone() override {
    return Try([&] { return std::make_unique<C10dStore>(store_->clone()); });
  }

 private:
  static std::vector<std::uint8_t> Bytes(const std::string& text) {
    return {text.begin(), text.end()};
  }
  template <class Body>
  static auto Try(const Body& body) -> decltype(body()) {
    try {
      return body();
    } catch (const std::exception& error) {
      throw CommError(fmt::format("the ranks' store cannot be reached: {}", Reason(error)));
    }
  }

  c10::intrusive_ptr<c10d::Store> store_;
};

class C10dCommunicator final : public Communicator {
 public:
  C10dCommunicator(c10::intrusive_ptr<c10d::Backend> backend, std::chrono::milliseconds timeout,
                   Watch* watch)
      : backend_(std::move(backend)), timeout_(timeout), watch_(watch) {}

  int rank() const override { return backend_->getRank(); }
  int world_size() const override { return backend_->getSize(); }
  void AtStep(std::int64_t step) override {
    if (watch_ != nullptr) watch_->AtStep(step);
  }

  std::chrono::milliseconds SetTimeout(std::chrono::milliseconds timeout) override {
    backend_->setTimeout(timeout);
    return std::exchange(timeout_, timeout);
  }

  at::Tensor AllGather(const at::Tensor& rows,
                       std::span<const std::int64_t> rows_per_rank) override {
    const auto mine = static_cast<std::size_t>(rank());
    if (rows_per_rank.size() != static_cast<std::size_t>(world_size()) ||
        rows_per_rank[mine] != rows.size(0)) {
      throw std::invalid_argument("AllGather: rows_per_rank does not fit");
    }
    const std::int64_t most = std::ranges::max(rows_per_rank);
    const std::int64_t least = std::ranges::min(rows_per_rank);
    // c10d gathers equal parts: shorter ones are padded.
    at::Tensor part = rows.detach().contiguous();
    std::vector<std::int64_t> shape = part.sizes().vec();
    if (part.size(0) < most) {
      shape[0] = most - part.size(0);
      part = at::cat({part, part.new_zeros(shape)});
    }
    shape[0] = most * world_size();
    at::Tensor all = part.new_empty(shape);
    Run("AllGather", [&] { return backend_->all_gather_single(all, part); });
    if (least == most) return all;
    std::vector<at::Tensor> parts;
    for (std::size_t r = 0; r < rows_per_rank.size(); ++r) {
      parts.push_back(all.narrow(0, static_cast<std::int64_t>(r) * most, rows_per_rank[r]));
    }
    return at::cat(parts);
  }

  void AllReduceSum(at::Tensor& values) override {
    std::vector<at::Tensor> tensors = {values};
    Run("AllReduceSum", [&] { return backend_->allreduce(tensors); });
  }

  at::Tensor ReduceScatterSum(const at::Tensor& values) override {
    at::Tensor all = values.contiguous();
    std::vector<std::int64_t> shape = all.sizes().vec();
    shape[0] /= world_size();
    at::Tensor mine = all.new_empty(shape);
    Run("ReduceScatterSum", [&] { return backend_->reduce_scatter_single(mine, all); });
    return mine;
  }

  std::unique_ptr<Pending> StartAllReduceSum(at::Tensor values) override {
    std::vector<at::Tensor> tensors = {std::move(values)};
    return Try("StartAllReduceSum", [&]() -> std::unique_ptr<Pending> {
      return std::make_unique<PendingWork>(*this, backend_->allreduce(tensors));
    });
  }

  void Broadcast(at::Tensor& values, int root) override {
    std::vector<at::Tensor> tensors = {values};
    c10d::BroadcastOptions options;
    options.rootRank = root;
    Run("Broadcast", [&] { return backend_->broadcast(tensors, options); });
  }

  void Barrier() override {
    Run("Barrier", [&] { return backend_->barrier(); });
  }

 private:
  class PendingWork final : public Pending {
   public:
    PendingWork(C10dCommunicator& comm, c10::intrusive_ptr<c10d::Work> work)
        : comm_(comm), work_(std::move(work)) {}
    void Wait() override {
      comm_.Run("AllReduceSum", [&] { return work_; });
    }

   private:
    C10dCommunicator& comm_;
    c10::intrusive_ptr<c10d::Work> work_;
  };

  template <class Body>
  auto Try(const char* call, const Body& body) -> decltype(body()) {
    try {
      return body();
    } catch (const std::exception& error) {
      throw CommError(fmt::format("{}: {}", call, Reason(error)));
    }
  }

  // A failed call stays "under way" for the others to hear of.
  template <class Start>
  void Run(const char* call, const Start& start) {
    if (watch_ != nullptr) watch_->BeginCall(call);
    Try(call, [&] { start()->wait(timeout_); });
    if (watch_ != nullptr) watch_->EndCall();
  }

  c10::intrusive_ptr<c10d::Backend> backend_;
  std::chrono::milliseconds timeout_;
  Watch* watch_;
};

std::set<std::string> Interfaces() {
  std::set<std::string> names;
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return names;
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr != nullptr && (entry->ifa_flags & IFF_UP) != 0)
      names.insert(entry->ifa_name);
  }
  freeifaddrs(list);
  return names;
}

/// c10d only says that no address was found.
void CheckInterfaces() {
  const char* wanted = std::getenv("GLOO_SOCKET_IFNAME");
  if (wanted == nullptr || *wanted == '\0') return;
  const std::set<std::string> there = Interfaces();
  std::string names = wanted;
  for (std::size_t at = 0; at <= names.size();) {
    const std::size_t comma = std::min(names.find(',', at), names.size());
    const std::string name = names.substr(at, comma - at);
    if (!there.contains(name)) {
      throw CommError(
          fmt::format("GLOO_SOCKET_IFNAME names the interface '{}', which is not up on "
                      "this host: {} are",
                      name, fmt::join(there, ", ")));
    }
    at = comma + 1;
  }
}

}  // namespace

std::unique_ptr<Store> OpenTcpStore(const Launch& launch, std::chrono::milliseconds timeout) {
  // c10d logs each failed attempt with its stack; what people need of it is in the errors.
  constexpr int kFatalOnly = 3;
  if (std::getenv("TORCH_CPP_LOG_LEVEL") == nullptr) FLAGS_caffe2_log_level = kFatalOnly;
  c10d::TCPStoreOptions options;
  options.port = launch.store_port;
  options.isServer = launch.rank == 0 && !launch.store_is_served;
  options.waitWorkers = false;
  options.timeout = timeout;
  if (launch.store_fd >= 0) options.masterListenFd = launch.store_fd;
  try {
    return std::make_unique<C10dStore>(
        c10::make_intrusive<c10d::TCPStore>(launch.store_host, options));
  } catch (const std::exception& error) {
    throw CommError(fmt::format(
        "{}:{}, where the ranks meet, {}: {}; {}", launch.store_host, launch.store_port,
        options.isServer ? "cannot be opened" : "cannot be reached", Reason(error),
        options.isServer ? "another run may use it: MASTER_PORT chooses another port, MASTER_ADDR "
                           "must be this host"
                         : "is rank 0 up, and are MASTER_ADDR and MASTER_PORT its own?"));
  }
}

std::unique_ptr<Store> MakeLocalStore() {
  return std::make_unique<C10dStore>(c10::make_intrusive<c10d::HashStore>());
}

std::unique_ptr<Communicator> ConnectGloo(Store& store, const std::string& prefix, int rank,
                                          int world_size, std::chrono::milliseconds timeout,
                                          Watch* watch) {
  CheckInterfaces();
  try {
    // Connected at once, a device of its own: a lazy one shared by two groups hangs for ever.
    auto options = c10d::ProcessGroupGloo::Options::create_default(timeout);
    auto keys =
        c10::make_intrusive<c10d::PrefixStore>(prefix, dynamic_cast<C10dStore&>(store).c10d());
    return std::make_unique<C10dCommunicator>(
        c10::make_intrusive<c10d::ProcessGroupGloo>(keys, rank, world_size, options), timeout,
        watch);
  } catch (const std::exception& error) {
    throw CommError(fmt::format(
        "rank {} of {} could not connect to the others: {}; GLOO_SOCKET_IFNAME chooses the network "
        "interface ({} are up)",
        rank, world_size, Reason(error), fmt::join(Interfaces(), ", ")));
  }
}

}  // namespace fastclip
