#include "comm/c10d_communicator.h"

#include <ATen/ATen.h>
#include <c10/util/Flags.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <thread>
#include <torch/csrc/distributed/c10d/HashStore.hpp>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <utility>
#include <vector>

#include "comm/comm_error.h"
#include "comm/cuda_library.h"
#include "comm/interfaces.h"
#include "comm/rank_gpus.h"

C10_DECLARE_int(caffe2_log_level);

namespace fastclip {
namespace {

/// NCCL's watchdog ends the process without a word: ours is to come first.
constexpr auto kNcclMargin = std::chrono::seconds(60);

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
  std::int64_t Add(const std::string& count, std::int64_t more) override {
    return Try([&] { return store_->add(count, more); });
  }
  void Push(const std::string& queue, const std::string& value) override {
    Try([&] { store_->queuePush(queue, {value.begin(), value.end()}); });
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
  template <class Body>
  static auto Try(const Body& body) -> decltype(body()) {
    try {
      return body();
    } catch (const std::exception& error) {
      throw CommError(fmt::format("cannot reach the rendezvous store: {}", ErrorText(error)));
    }
  }

  c10::intrusive_ptr<c10d::Store> store_;
};

class C10dCommunicator final : public Communicator {
 public:
  /// `nccl` may be null.
  C10dCommunicator(c10::intrusive_ptr<c10d::Backend> gloo, c10::intrusive_ptr<c10d::Backend> nccl,
                   std::chrono::milliseconds timeout, Watch* watch)
      : gloo_(std::move(gloo)), nccl_(std::move(nccl)), timeout_(timeout), watch_(watch) {}

  int rank() const override { return gloo_->getRank(); }
  int world_size() const override { return gloo_->getSize(); }
  void AtStep(std::int64_t step) override {
    if (watch_ != nullptr) watch_->AtStep(step);
  }

  std::unique_ptr<Pending> CallsSoFar() override {
    if (!last_on_gpu_) return Communicator::CallsSoFar();
    return std::make_unique<EnqueuedWork>(*this, last_on_gpu_);
  }

  void Shutdown() override {
    if (nccl_) Try("shutdown", [&] { nccl_->shutdown(); });
  }

  std::chrono::milliseconds SetTimeout(std::chrono::milliseconds timeout) override {
    gloo_->setTimeout(timeout);
    if (nccl_) nccl_->setTimeout(timeout + kNcclMargin);
    return std::exchange(timeout_, timeout);
  }

  at::Tensor AllGather(const at::Tensor& rows,
                       std::span<const std::int64_t> rows_per_rank) override {
    const auto mine = static_cast<std::size_t>(rank());
    if (rows_per_rank.size() != static_cast<std::size_t>(world_size()) ||
        rows_per_rank[mine] != rows.size(0)) {
      throw std::invalid_argument(
          "AllGather: rows_per_rank does not match the tensor or the number of ranks");
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
    // By the names that both LibTorch 2.11 and 2.15 know.
    Run("AllGather", part,
        [&](c10d::Backend& backend) { return backend._allgather_base(all, part); });
    if (least == most) return all;
    std::vector<at::Tensor> parts;
    for (std::size_t r = 0; r < rows_per_rank.size(); ++r) {
      parts.push_back(all.narrow(0, static_cast<std::int64_t>(r) * most, rows_per_rank[r]));
    }
    return at::cat(parts);
  }

  void AllReduceSum(at::Tensor& values) override {
    std::vector<at::Tensor> tensors = {values};
    Run("AllReduceSum", values, [&](c10d::Backend& backend) { return backend.allreduce(tensors); });
  }

  at::Tensor ReduceScatterSum(const at::Tensor& values) override {
    at::Tensor all = values.contiguous();
    std::vector<std::int64_t> shape = all.sizes().vec();
    shape[0] /= world_size();
    at::Tensor mine = all.new_empty(shape);
    Run("ReduceScatterSum", all,
        [&](c10d::Backend& backend) { return backend._reduce_scatter_base(mine, all); });
    return mine;
  }

  std::unique_ptr<Pending> StartAllReduceSum(at::Tensor values) override {
    std::vector<at::Tensor> tensors = {values};
    return Try("StartAllReduceSum", [&]() -> std::unique_ptr<Pending> {
      c10d::Backend& backend = BackendOf(values);
      return std::make_unique<PendingWork>(*this, values,
                                           Enqueued(backend, backend.allreduce(tensors)));
    });
  }

  void Broadcast(at::Tensor& values, int root) override {
    std::vector<at::Tensor> tensors = {values};
    c10d::BroadcastOptions options;
    options.rootRank = root;
    Run("Broadcast", values,
        [&](c10d::Backend& backend) { return backend.broadcast(tensors, options); });
  }

  void Barrier() override {
    Run("Barrier", {}, [&](c10d::Backend& backend) { return backend.barrier(); });
  }

 private:
  class PendingWork final : public Pending {
   public:
    PendingWork(C10dCommunicator& comm, at::Tensor values, c10::intrusive_ptr<c10d::Work> work)
        : comm_(comm), values_(std::move(values)), work_(std::move(work)) {}
    void Wait() override {
      comm_.Watched("AllReduceSum", [&] { comm_.Wait(comm_.BackendOf(values_), work_); });
    }

   private:
    C10dCommunicator& comm_;
    at::Tensor values_;  // lives until the sum is done
    c10::intrusive_ptr<c10d::Work> work_;
  };

  /// Polled, as NCCL's own wait has no end where a rank is lost.
  class EnqueuedWork final : public Pending {
   public:
    EnqueuedWork(C10dCommunicator& comm, c10::intrusive_ptr<c10d::Work> work)
        : comm_(comm), work_(std::move(work)) {}
    void Wait() override {
      comm_.Watched("GPU collective", [&] {
        const auto end = std::chrono::steady_clock::now() + comm_.timeout_;
        while (!work_->isCompleted()) {
          if (std::chrono::steady_clock::now() > end) {
            throw std::runtime_error("timed out waiting for the other ranks");
          }
          std::this_thread::sleep_for(std::chrono::microseconds(50));
        }
        if (work_->exception()) std::rethrow_exception(work_->exception());
      });
    }

   private:
    C10dCommunicator& comm_;
    c10::intrusive_ptr<c10d::Work> work_;
  };

  /// What c10d throws is the doing of other ranks, but where memory was short.
  template <class Body>
  auto Try(const char* call, const Body& body) -> decltype(body()) {
    try {
      return body();
    } catch (const std::bad_alloc&) {
      throw;
    } catch (const c10::OutOfMemoryError&) {
      throw;
    } catch (const std::exception& error) {
      throw CommError(fmt::format("{}: {}", call, ErrorText(error)));
    }
  }

  c10d::Backend& BackendOf(const at::Tensor& tensor) {
    if (!tensor.defined() || tensor.device().is_cpu()) return *gloo_;
    if (!nccl_) throw std::logic_error("a GPU tensor, but the ranks were connected without NCCL");
    return *nccl_;
  }

  template <class Start>
  void Run(const char* call, const at::Tensor& tensor, const Start& start) {
    c10d::Backend& backend = BackendOf(tensor);
    Watched(call, [&] { Wait(backend, Enqueued(backend, start(backend))); });
  }

  // A failed call stays "under way" for the others to hear of.
  template <class Body>
  void Watched(const char* call, const Body& body) {
    if (watch_ != nullptr) watch_->BeginCall(call);
    Try(call, body);
    if (watch_ != nullptr) watch_->EndCall();
  }

  /// NCCL's calls are done in the order in which they are enqueued, so that the last one tells.
  c10::intrusive_ptr<c10d::Work> Enqueued(const c10d::Backend& backend,
                                          c10::intrusive_ptr<c10d::Work> work) {
    if (&backend != gloo_.get()) last_on_gpu_ = work;
    return work;
  }

  /// Gloo's wait blocks, and only with a timeout of its own surely ends. NCCL's orders the current
  /// stream behind the call; CallsSoFar() keeps the time.
  void Wait(c10d::Backend& backend, const c10::intrusive_ptr<c10d::Work>& work) {
    if (&backend == gloo_.get()) {
      work->wait(timeout_);
    } else {
      work->wait();
    }
  }

  c10::intrusive_ptr<c10d::Backend> gloo_, nccl_;
  c10::intrusive_ptr<c10d::Work> last_on_gpu_;  // enqueued
  std::chrono::milliseconds timeout_;
  Watch* watch_;
};

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
        "rendezvous store {}:{} {}: {}; {}", launch.store_host, launch.store_port,
        options.isServer ? "cannot be opened" : "cannot be reached", ErrorText(error),
        options.isServer
            ? "another run may use the port: set another MASTER_PORT, and set MASTER_ADDR to this "
              "host"
            : "check that rank 0 is running and that MASTER_ADDR and MASTER_PORT point to it"));
  }
}

std::unique_ptr<Store> MakeLocalStore() {
  return std::make_unique<C10dStore>(c10::make_intrusive<c10d::HashStore>());
}

std::unique_ptr<Communicator> ConnectRanks(Store& store, const ConnectOptions& options) {
  const auto keys_of = [&](const char* backend) {
    return c10::make_intrusive<c10d::PrefixStore>(options.prefix + backend,
                                                  dynamic_cast<C10dStore&>(store).c10d());
  };
  c10::intrusive_ptr<c10d::Backend> gloo, nccl;
  try {
    // Connected at once, a device of its own: a lazy one shared by two groups hangs for ever.
    auto gloo_options = c10d::ProcessGroupGloo::Options::create_default(options.timeout);
    gloo = c10::make_intrusive<c10d::ProcessGroupGloo>(keys_of("/gloo"), options.rank,
                                                       options.world_size, std::move(gloo_options));
  } catch (const std::exception& error) {
    throw CommError(fmt::format(
        "rank {} of {} could not connect to the other ranks: {}; set GLOO_SOCKET_IFNAME to a "
        "network interface that reaches them (up: {})",
        options.rank, options.world_size, ErrorText(error), fmt::join(Interfaces(), ", ")));
  }
  C10dCommunicator on_cpu(gloo, {}, options.timeout, options.watch);
  RefuseSharedGpus(on_cpu, options.gpu_pci);
  if (options.cuda_device) {
    try {
      nccl = c10::intrusive_ptr<c10d::Backend>::reclaim(LoadedCuda()->make_backend(
          keys_of("/nccl"), options.rank, options.world_size,
          (options.timeout + kNcclMargin).count(), *options.cuda_device));
    } catch (const std::exception& error) {
      throw CommError(fmt::format(
          "rank {} of {} could not connect its GPU to the other ranks over NCCL: {}; set "
          "NCCL_DEBUG=INFO for details, NCCL_SOCKET_IFNAME to choose the network interface",
          options.rank, options.world_size, ErrorText(error)));
    }
  }
  return std::make_unique<C10dCommunicator>(std::move(gloo), std::move(nccl), options.timeout,
                                            options.watch);
}

}  // namespace fastclip
