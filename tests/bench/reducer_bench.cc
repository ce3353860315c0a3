// Compares GradientReducer with c10d::Reducer (which DistributedDataParallel uses) and with sums
// after backward, alternating in one run: the towers of the quickstart, two processes over Gloo. It
// first checks that all give the same gradients.
//
//   build/tests/reducer_bench [--ranks K] [--rounds N] [--batch ROWS_PER_RANK]

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <torch/csrc/distributed/c10d/reducer.hpp>
#include <vector>

#include "comm/group.h"
#include "comm/local_ranks.h"
#include "trainer/model/clip_model.h"
#include "trainer/model/presets.h"
#include "trainer/step/gradient_reducer.h"
#include "trainer/step/towers.h"

namespace fastclip {
namespace {

using Clock = std::chrono::steady_clock;

struct Settings {
  int ranks = 2;
  int rounds = 20;
  std::int64_t batch = 32;
};

Settings Parse(int argc, char** argv) {
  Settings settings;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string word = argv[i];
    const int value = std::atoi(argv[i + 1]);
    if (word == "--ranks") settings.ranks = value;
    if (word == "--rounds") settings.rounds = value;
    if (word == "--batch") settings.batch = value;
  }
  return settings;
}

NamedTensors TowerParameters(const ClipModel& model) {
  return Towers::BackwardOrder(model.described());
}

/// One way to get summed gradients, on weights of its own.
class Way {
 public:
  explicit Way(const ModelConfig& config) : model_(config, 1, 0.07, at::kFloat), towers_(model_) {}
  virtual ~Way() = default;
  /// Seconds of backward and sums.
  double Run(const std::vector<MicroBatch>& micro) {
    Begin();
    const PerSide<at::Tensor> features = towers_.Forward(micro);
    const PerSide<at::Tensor> gradients = {at::ones_like(features.image),
                                           at::ones_like(features.text)};
    const auto begin = Clock::now();
    towers_.Backward(micro, gradients, [this] { BeforeLast(); });
    Finish();
    return std::chrono::duration<double>(Clock::now() - begin).count();
  }
  NamedTensors parameters() const { return TowerParameters(model_); }

 protected:
  virtual void Begin() {
    for (const auto& [name, parameter] : parameters()) parameter.mutable_grad().reset();
  }
  virtual void BeforeLast() {}
  virtual void Finish() {}

  ClipModel model_;
  Towers towers_;
};

class Ours final : public Way {
 public:
  Ours(const ModelConfig& config, Communicator& comm, bool overlap)
      : Way(config), reducer_(parameters(), comm, {.overlap = overlap}) {}
  double megabytes() const { return 1e-6 * static_cast<double>(reducer_.bytes()); }

 private:
  void Begin() override { pass_.emplace(reducer_.Begin()); }
  void BeforeLast() override { pass_->BeginLast(); }
  void Finish() override {
    pass_->Add(at::zeros({}));
    std::move(*pass_).Finish();
  }
  GradientReducer reducer_;
  std::optional<GradientReducer::Pass> pass_;
};

class Theirs final : public Way {
 public:
  Theirs(const ModelConfig& config, const c10::intrusive_ptr<c10d::ProcessGroup>& group)
      : Way(config) {
    std::vector<at::Tensor> tensors;
    std::vector<std::size_t> all;
    std::unordered_map<std::size_t, std::string> names;
    // As DistributedDataParallel: first one bucket in the order of registration, rebuilt after the
    // first step in the order of backward.
    for (const auto& [name, parameter] : parameters()) {
      names[tensors.size()] = name;
      all.push_back(tensors.size());
      tensors.push_back(parameter);
    }
    reducer_ = std::make_unique<c10d::Reducer>(
        tensors, std::vector<std::vector<std::size_t>>{all}, group,
        std::vector<bool>(tensors.size(), false), c10d::kDefaultBucketBytesCap,
        /*find_unused_parameters=*/false, /*gradient_as_bucket_view=*/true, names,
        c10d::kDefaultFirstBucketBytes, /*skip_all_reduce_unused_params=*/false,
        /*use_python_reducer=*/false, std::vector<std::int64_t>{});
  }

 private:
  void Begin() override {
    Way::Begin();
    reducer_->prepare_for_forward();
    reducer_->rebuild_buckets();
  }
  void BeforeLast() override { reducer_->prepare_for_backward({}); }
  std::unique_ptr<c10d::Reducer> reducer_;
};

double Median(std::vector<double> values) {
  std::ranges::sort(values);
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

void ExpectSame(const Way& ours, const Way& theirs, double factor, const std::string& what) {
  const NamedTensors a = ours.parameters(), b = theirs.parameters();
  for (std::size_t i = 0; i < a.size(); ++i) {
    const at::Tensor x = a[i].second.grad(), y = b[i].second.grad() * factor;
    const double apart = (x - y).abs().max().item<double>(), most = y.abs().max().item<double>();
    if (apart > 1e-5 * most + 1e-12) {
      throw std::runtime_error(
          fmt::format("{}: the gradient of {} differs by {} of {}", what, a[i].first, apart, most));
    }
  }
}

std::vector<MicroBatch> MakeBatch(const ModelConfig& config, std::int64_t rows, int rank) {
  const at::Tensor images =
      at::linspace(-1, 1 + rank, rows * 3 * config.vision.image_size * config.vision.image_size)
          .sin()
          .view({rows, 3, config.vision.image_size, config.vision.image_size});
  const std::int64_t length = 24;
  const at::Tensor tokens =
      at::arange(rows * length, at::kLong).add(rank).remainder(1000).view({rows, length});
  return {{images, tokens, at::full({rows}, length - 1, at::kLong)}};
}

void RunRank(const Settings& settings, const Launch& launch) {
  at::set_num_threads(1);
  Group group(
      launch, {}, [](const std::string&) {}, [](const std::string&) { std::_Exit(1); });
  c10d::TCPStoreOptions store_options;
  store_options.port = launch.store_port;
  const auto store = c10::make_intrusive<c10d::TCPStore>(launch.store_host, store_options);
  const auto ddp = c10::make_intrusive<c10d::ProcessGroup>(store, launch.rank, launch.world_size);
  ddp->setBackend(at::kCPU, c10d::ProcessGroup::GLOO,
                  c10::make_intrusive<c10d::ProcessGroupGloo>(
                      store, launch.rank, launch.world_size,
                      c10d::ProcessGroupGloo::Options::create_default()));
  ddp->setDefaultBackend(c10d::ProcessGroup::GLOO);
  ddp->setGroupName("ddp");

  const ModelConfig config = LoadModelConfig("tiny");
  const auto micro = MakeBatch(config, settings.batch, launch.rank);
  Ours overlapped(config, group.comm(), true), after(config, group.comm(), false);
  Theirs theirs(config, ddp);
  Way bare(config);
  const std::map<std::string, Way*> ways = {
      {"bare", &bare}, {"ours", &overlapped}, {"after", &after}, {"c10d", &theirs}};
  for (int warm_up = 0; warm_up < 2; ++warm_up) {  // c10d rebuilds its buckets after the first
    for (const auto& [name, way] : ways) way->Run(micro);
  }
  ExpectSame(overlapped, after, 1, "sums after backward");
  ExpectSame(overlapped, theirs, launch.world_size, "c10d::Reducer");

  std::map<std::string, std::vector<double>> seconds;
  for (int round = 0; round < settings.rounds; ++round) {
    for (const auto& [name, way] : ways) {
      group.comm().Barrier();
      seconds[name].push_back(way->Run(micro));
    }
  }
  if (launch.rank == 0) {
    const double none = Median(seconds["bare"]), ours = Median(seconds["ours"]),
                 late = Median(seconds["after"]), c10d = Median(seconds["c10d"]);
    fmt::print(
        "{} ranks, {:.1f} MB of gradients, medians of {} alternating runs of backward and sums\n"
        "  no sums                 {:7.1f} ms\n"
        "  sums after backward     {:7.1f} ms\n"
        "  c10d::Reducer           {:7.1f} ms\n"
        "  GradientReducer         {:7.1f} ms   {:.2f} of the faster of those two\n"
        "overlapped with backward: {:.0f}% of the time of the sums\n",
        launch.world_size, overlapped.megabytes(), settings.rounds, 1e3 * none, 1e3 * late,
        1e3 * c10d, 1e3 * ours, ours / std::min(late, c10d), 100 * (late - ours) / (late - none));
  }
  group.Leave();
}

int Main(int argc, char** argv) {
  const Settings settings = Parse(argc, argv);
  const Launch launch = ReadLaunch([](const char* name) { return std::getenv(name); });
  if (launch.world_size == 1) {
    return RunLocalRanks(settings.ranks, std::vector<std::string>(argv + 1, argv + argc), 60);
  }
  RunRank(settings, launch);
  return 0;
}

}  // namespace
}  // namespace fastclip

int main(int argc, char** argv) {
  try {
    return fastclip::Main(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "reducer_bench: {}\n", error.what());
    return 1;
  }
}
