#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>
#include <c10/util/ThreadLocalDebugInfo.h>
#include <fmt/format.h>

#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "pipeline/base/printable.h"
#include "tools/cli/cli.h"
#include "tools/cli/measure.h"
#include "tools/cli/usage_error.h"
#include "trainer/objective/contrastive_objective.h"
#include "trainer/step/live_bytes.h"

namespace fastclip {
namespace {

struct Options {
  std::int64_t local = 512;
  std::int64_t global = 32768;
  std::int64_t dim = 512;
  std::int64_t tile = 0;
  int threads = 0;
  double seconds = 10;
  std::vector<std::string> objectives = {"fastclip_v1", "fastclip_v3"};
  std::string mode = "exact";
  bool json = false;
};

// One rank of many, alone: what it gathers is its own rows again. Nothing crosses a network, and
// the bench times what is computed.
class OneOfMany final : public Communicator {
 public:
  int rank() const override { return 0; }
  int world_size() const override { return 2; }
  at::Tensor AllGather(const at::Tensor& rows,
                       std::span<const std::int64_t> rows_per_rank) override {
    const std::int64_t all =
        std::accumulate(rows_per_rank.begin(), rows_per_rank.end(), std::int64_t{0});
    const std::int64_t times = (all + rows.size(0) - 1) / rows.size(0);
    return rows.repeat({times, 1}).narrow(0, 0, all);
  }
  void AllReduceSum(at::Tensor&) override {}
  at::Tensor ReduceScatterSum(const at::Tensor& values) override { return values; }
  std::unique_ptr<Pending> StartAllReduceSum(at::Tensor) override { return nullptr; }
  void Broadcast(at::Tensor&, int) override {}
  void Barrier() override {}
};

Features MakeFeatures(const Options& options) {
  const auto rows = [&] {
    const at::Tensor drawn = at::randn({options.global, options.dim}, at::kFloat);
    return drawn.div(drawn.norm(2, 1, /*keepdim=*/true));
  };
  Features features{.local = {}, .global = {rows(), rows()}, .first_row = 0, .rows_per_rank = {}};
  features.local = {features.global.image.narrow(0, 0, options.local),
                    features.global.text.narrow(0, 0, options.local)};
  features.rows_per_rank = {options.local, options.global - options.local};
  return features;
}

// Four products [b,d]·[d,B] and two [b,B]·[B,d], whole, into memory that is there.
class SixProducts {
 public:
  explicit SixProducts(const Features& features)
      : features_(features),
        logits_(at::empty({features.local.image.size(0), features.global.image.size(0)})),
        gradient_(at::empty_like(features.local.image)) {}
  void operator()() {
    for (int pass = 0; pass < 2; ++pass) {
      at::mm_out(logits_, features_.local.image, features_.global.text.t());
      at::mm_out(logits_, features_.local.text, features_.global.image.t());
    }
    at::mm_out(gradient_, logits_, features_.global.text);
    at::mm_out(gradient_, logits_, features_.global.image);
  }

 private:
  const Features& features_;
  at::Tensor logits_, gradient_;
};

class Bench {
 public:
  Bench(const std::string& name, const Options& options, const Features& features)
      : features_(features),
        objective_(MakeObjective({.name = name, .mode = options.mode, .tile = options.tile})) {
    scalars_.logit_scale = at::full({}, std::log(1 / 0.03));
    scalars_.logit_bias = at::full({}, -10.0);
    scalars_.gamma = 0.6;
    state_ = at::tensor(objective_->initial_state(), at::kFloat).repeat({options.local, 1});
  }
  void operator()() { objective_->Evaluate(features_, state_, scalars_, comm_); }
  /// Bytes of tensors at the same time, above what it was given.
  std::int64_t Peak() {
    const auto live = std::make_shared<LiveBytes>();
    const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, live);
    (*this)();
    return live->peak();
  }

 private:
  const Features& features_;
  std::unique_ptr<ContrastiveObjective> objective_;
  StepScalars scalars_;
  at::Tensor state_;
  OneOfMany comm_;
};

template <class Work>
double Seconds(Work& work) {
  const double begin = SecondsOf(CLOCK_MONOTONIC);
  work();
  return SecondsOf(CLOCK_MONOTONIC) - begin;
}

nlohmann::ordered_json Measure(const Options& options) {
  const c10::InferenceMode no_graph;
  const Features features = MakeFeatures(options);
  std::vector<Bench> benches;
  for (const std::string& name : options.objectives) benches.emplace_back(name, options, features);
  std::vector<std::int64_t> peaks;
  for (Bench& bench : benches) peaks.push_back(bench.Peak());  // warms up, too
  SixProducts products(features);
  products();

  // In turns: what else the machine does meets all of them.
  std::vector<double> bare;
  std::vector<std::vector<double>> times(benches.size());
  const double begin = SecondsOf(CLOCK_MONOTONIC);
  do {
    bare.push_back(Seconds(products));
    for (std::size_t i = 0; i < benches.size(); ++i) times[i].push_back(Seconds(benches[i]));
  } while (bare.size() < 3 || SecondsOf(CLOCK_MONOTONIC) - begin < options.seconds);

  const double products_seconds = Quantile(bare, 0.5);
  nlohmann::ordered_json result{{"local", options.local},
                                {"global", options.global},
                                {"dim", options.dim},
                                {"threads", at::get_num_threads()},
                                {"rounds", bare.size()},
                                {"six_products_ms", 1000 * products_seconds},
                                {"objectives", nlohmann::ordered_json::array()}};
  for (std::size_t i = 0; i < benches.size(); ++i) {
    const double seconds = Quantile(times[i], 0.5);
    result["objectives"].push_back({{"name", options.objectives[i]},
                                    {"mode", options.mode},
                                    {"ms", 1000 * seconds},
                                    {"products_share", products_seconds / seconds},
                                    {"peak_mb", 1e-6 * static_cast<double>(peaks[i])}});
  }
  return result;
}

void Print(const nlohmann::ordered_json& result) {
  fmt::print("{} of {} rows, {} dimensions, {}: the six matrix products take {:.1f} ms\n",
             result["local"].get<std::int64_t>(), result["global"].get<std::int64_t>(),
             result["dim"].get<std::int64_t>(), Counted(result["threads"].get<int>(), "thread"),
             result["six_products_ms"].get<double>());
  for (const auto& one : result["objectives"]) {
    fmt::print("  {:<12} {:8.1f} ms, products / objective {:.2f}, peak {:.1f} MB of tensors\n",
               one["name"].get<std::string>(), one["ms"].get<double>(),
               one["products_share"].get<double>(), one["peak_mb"].get<double>());
  }
}

}  // namespace

/// `fastclip bench objective`: the objective compared with the matrix products that it consists of.
int RunBenchObjective(int argc, const char* const* argv) {
  Options options;
  CLI::App app(
      "Measures the loss and feature gradients of one rank, in float32 on the CPU.\n"
      "The baseline is the six matrix products in them, timed in turns with each objective.\n"
      "Memory is the peak size of all tensors except the features. The other ranks are not\n"
      "simulated, so no communication is timed.",
      "fastclip bench objective");
  app.add_option("--local", options.local, "rows of this rank")
      ->check(Between(1, 1 << 24))
      ->capture_default_str();
  app.add_option("--global", options.global, "rows of all ranks")
      ->check(Between(2, 1 << 24))
      ->capture_default_str();
  app.add_option("--dim", options.dim, "embedding width")
      ->check(Between(1, 1 << 16))
      ->capture_default_str();
  app.add_option("--objectives", options.objectives,
                 "objectives to measure (objective.name), separated by commas")
      ->check(OneOf(ObjectiveNames()))
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--mode", options.mode, "exact or reference (objective.mode)")
      ->check(OneOf({"exact", "reference"}))
      ->capture_default_str();
  app.add_option("--tile", options.tile, "columns per tile; 0: automatic (objective.tile)")
      ->check(AtLeast(0))
      ->capture_default_str();
  app.add_option("--threads", options.threads,
                 std::string(kThreadsHelp) + "; 0: LibTorch's default")
      ->check(Between(0, 1024))
      ->capture_default_str();
  app.add_option("--seconds", options.seconds, "seconds to measure, at least 3 rounds")
      ->check(NumberAtLeast(0))
      ->capture_default_str();
  app.add_flag("--json", options.json, kJsonHelp);
  app.footer("example: fastclip bench objective --local 512 --global 32768 --dim 512 --json");
  if (!ParseArguments(app, argc, argv)) return 0;
  if (options.local > options.global) {
    throw UsageError(
        fmt::format("--local must be at most --global {}, not {}", options.global, options.local));
  }
  if (options.threads > 0) at::set_num_threads(options.threads);
  const nlohmann::ordered_json result = Measure(options);
  options.json ? fmt::print("{}\n", result.dump()) : Print(result);
  return 0;
}

}  // namespace fastclip
