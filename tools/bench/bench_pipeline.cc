#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "pipeline/base/printable.h"
#include "pipeline/loader/batch_feed.h"
#include "pipeline/loader/batch_loader.h"
#include "pipeline/loader/compute_pool.h"
#include "pipeline/order/order_plan.h"
#include "pipeline/pixels/augment.h"
#include "pipeline/pixels/image.h"
#include "pipeline/pixels/picture_rows.h"
#include "pipeline/records/record_source.h"
#include "pipeline/sources/open_source.h"
#include "tokenizer/tokenizer.h"
#include "tools/bench/pipeline_bench_options.h"
#include "tools/cli/cli.h"
#include "tools/cli/measure.h"
#include "tools/cli/usage_error.h"

namespace fastclip {
namespace {

constexpr double kSliceSeconds = 3;
// Records that are held at once while the bare kernels are measured.
constexpr std::int64_t kHeldBytes = std::int64_t{256} << 20;

void OnThreads(int threads, std::size_t count, const std::function<void(std::size_t)>& run) {
  std::atomic<std::size_t> next = 0;
  std::vector<std::jthread> pool;
  for (int i = 0; i < threads; ++i) {
    pool.emplace_back([&] {
      for (std::size_t item = next++; item < count; item = next++) run(item);
    });
  }
}

/// The loader's time and statistics for some rows.
struct LoaderTime {
  double seconds = 0;
  double core_seconds = 0;
  LoaderStats stats;
};

class PipelineBench {
 public:
  explicit PipelineBench(const PipelineBenchOptions& options)
      : options_(options),
        source_(OpenSource(options.list, options.source)),
        plan_(WithSize(options.order, source_->size())),
        tokenizer_(OpenTokenizer(options.tokenizer)) {}

  /// Loads the steps [first, last), from the start of the loader to its last batch.
  LoaderTime Load(std::int64_t first, std::int64_t last) const {
    const double begin = SecondsOf(CLOCK_MONOTONIC);
    const double core_begin = SecondsOf(CLOCK_PROCESS_CPUTIME_ID);
    BatchLoader loader(*source_, plan_, {0, plan_.options().lanes}, first, last, *tokenizer_,
                       options_.loader);
    while (loader.Next()) {
    }
    return {SecondsOf(CLOCK_MONOTONIC) - begin, SecondsOf(CLOCK_PROCESS_CPUTIME_ID) - core_begin,
            loader.stats()};
  }

  struct BareSeconds {
    double decode = 0;
    double kernels = 0;
  };

  /// Runs only the kernels on the images of the same steps, from memory.
  BareSeconds Bare(std::int64_t first, std::int64_t last) const {
    BareSeconds seconds;
    std::vector<Row> rows;
    std::int64_t held = 0;
    for (std::int64_t step = first; step < last; ++step) {
      for (std::int64_t row = 0; row < options_.order.batch_size; ++row) {
        rows.push_back(ReadRow(step, row));
        held += std::ssize(rows.back().record().image);
        if (held < kHeldBytes && !(step + 1 == last && row + 1 == options_.order.batch_size)) {
          continue;
        }
        seconds.decode += Time(rows, [this](const Row& r) { Decode(r); });
        seconds.kernels += Time(rows, [this](const Row& r) { DecodeAndResize(r); });
        rows.clear();
        held = 0;
      }
    }
    return seconds;
  }

  /// Differences between fast and exact pixels, of 255.
  struct Drift {
    double mean = 0;
    int max = 0;
  };
  Drift MeasureDrift(std::int64_t first, std::int64_t last) const {
    std::vector<std::uint8_t> exact, fast;
    std::int64_t sum = 0, bytes = 0;
    Drift drift;
    for (std::int64_t step = first; step < last; ++step) {
      for (std::int64_t place = 0; place < options_.order.batch_size; ++place) {
        const Row row = ReadRow(step, place);
        if (!MakeRow(row, exact_, exact)) continue;
        MakeRow(row, training_, fast);
        for (std::size_t i = 0; i < exact.size(); ++i) {
          const int difference = std::abs(exact[i] - fast[i]);
          sum += difference;
          drift.max = std::max(drift.max, difference);
        }
        bytes += std::ssize(exact);
      }
    }
    drift.mean = bytes == 0 ? 0 : static_cast<double>(sum) / static_cast<double>(bytes);
    return drift;
  }

  const OrderPlan& plan() const { return plan_; }

 private:
  struct Row {
    RowPlan plan;
    RecordBlock block;
    const Record& record() const { return block.records[0]; }
  };

  static OrderOptions WithSize(OrderOptions order, std::int64_t size) {
    order.size = size;
    return order;
  }

  /// The record that the loader uses, except for images that are damaged after the header.
  Row ReadRow(std::int64_t step, std::int64_t row) const {
    for (std::int64_t attempt = 0;; ++attempt) {
      const auto plan = plan_.Row(step, row, attempt);
      if (!plan) continue;
      Row found{*plan, source_->Read(plan->index, 1, {})};
      if (found.record().skip) continue;
      if (std::holds_alternative<ImageSize>(
              ReadImageSize(found.record().image, options_.loader.decode)))
        return found;
    }
  }

  double Time(const std::vector<Row>& rows, const std::function<void(const Row&)>& run) const {
    const double begin = SecondsOf(CLOCK_MONOTONIC);
    OnThreads(options_.loader.threads, rows.size(), [&](std::size_t i) { run(rows[i]); });
    return SecondsOf(CLOCK_MONOTONIC) - begin;
  }

  void Decode(const Row& row) const {
    thread_local PicturePart part;
    const auto whole = [](const ImageSize& size) { return CropBox{0, 0, size.height, size.width}; };
    DecodePart(row.record().image, whole, options_.loader.decode, part);
  }

  void DecodeAndResize(const Row& row) const {
    thread_local std::vector<std::uint8_t> out;
    MakeRow(row, training_, out);
  }

  /// Writes the pixels of a training row; false if the image is bad.
  bool MakeRow(const Row& row, const PictureRows& pictures, std::vector<std::uint8_t>& out) const {
    thread_local PicturePart part;
    const int side = options_.loader.image_size;
    out.resize(std::size_t{3} * side * side);
    const PictureKey key{options_.order.seed, row.plan.epoch, row.plan.index};
    if (pictures.Decode(row.record().image, key, part)) return false;
    pictures.Write(part, key, out);
    return true;
  }

  const PipelineBenchOptions& options_;
  const std::unique_ptr<RecordSource> source_;
  const OrderPlan plan_;
  const std::shared_ptr<const Tokenizer> tokenizer_;
  const PictureRows exact_ = PictureRows::ForTraining(
      options_.loader.augment, options_.loader.decode, options_.loader.image_size);
  const PictureRows training_ = PictureRows::ForTraining(
      options_.loader.augment, TrainingDecodeOptions(options_.loader), options_.loader.image_size);
};

nlohmann::ordered_json Spread(const std::vector<double>& values) {
  return {{"median", Quantile(values, 0.5)},
          {"quartiles", {Quantile(values, 0.25), Quantile(values, 0.75)}}};
}

nlohmann::ordered_json StageJson(const LoaderStats::Stage& stage, double samples) {
  return {
      {"ms_per_sample", 1e3 * stage.busy_seconds / samples},
      {"mb_per_busy_second",
       stage.busy_seconds == 0 ? 0 : 1e-6 * static_cast<double>(stage.bytes) / stage.busy_seconds}};
}

/// Seconds per probe of a stage: two clock reads and three additions.
double ProbeSeconds() {
  constexpr int kTimes = 1'000'000;
  StageCounter counter;
  const double begin = SecondsOf(CLOCK_MONOTONIC);
  for (int i = 0; i < kTimes; ++i) counter.Add(std::chrono::steady_clock::now(), 1);
  return (SecondsOf(CLOCK_MONOTONIC) - begin) / kTimes;
}

nlohmann::ordered_json Measure(const PipelineBenchOptions& o, double start_mb) {
  const PipelineBench bench(o);
  const auto rows_of = [&](std::int64_t steps) {
    return static_cast<double>(steps * o.order.batch_size);
  };
  // The first batches, when they come again and the disk no longer counts, show how many fill a
  // slice; the first slice shows how much memory that takes.
  constexpr std::int64_t kFirst = 8;
  bench.Load(0, kFirst);
  const double first_seconds = bench.Load(0, kFirst).seconds;
  const auto steps = std::max<std::int64_t>(
      1, std::llround(kFirst * std::min(kSliceSeconds, o.seconds / 9) / first_seconds));
  bench.Load(kFirst, kFirst + steps);
  const double peak_mb = MemoryMb("VmHWM") - start_mb;

  const int rounds = std::max(3, static_cast<int>(o.seconds / (3 * kSliceSeconds)));
  std::vector<double> loaded, decoded, bare, of_decoded, of_bare;
  LoaderTime total;
  std::vector<LoaderStats> stats;
  for (int round = 0; round < rounds; ++round) {
    const std::int64_t first = kFirst + steps * (round + 1);
    const LoaderTime time = bench.Load(first, first + steps);
    const auto kernels = bench.Bare(first, first + steps);
    loaded.push_back(rows_of(steps) / time.seconds);
    decoded.push_back(rows_of(steps) / kernels.decode);
    bare.push_back(rows_of(steps) / kernels.kernels);
    of_decoded.push_back(loaded.back() / decoded.back());
    of_bare.push_back(loaded.back() / bare.back());
    total.core_seconds += time.core_seconds;
    stats.push_back(time.stats);
  }
  const double samples = rows_of(steps) * rounds;
  nlohmann::ordered_json json{{"samples_per_second", Quantile(loaded, 0.5)},
                              {"decode_only_per_second", Quantile(decoded, 0.5)},
                              {"kernels_only_per_second", Quantile(bare, 0.5)},
                              {"of_decode_only", Spread(of_decoded)},
                              {"of_kernels_only", Spread(of_bare)},
                              {"cpu_ms_per_sample", 1e3 * total.core_seconds / samples},
                              {"peak_rss_mb", peak_mb},
                              {"threads", o.loader.threads},
                              {"size", o.loader.image_size},
                              {"batch", o.order.batch_size},
                              {"slices", rounds},
                              {"samples_per_slice", rows_of(steps)}};
  if (o.loader.fast_pixels) {
    const auto drift = bench.MeasureDrift(0, kFirst);
    json["drift"] = {{"mean", drift.mean}, {"max", drift.max}};
  }
  const std::pair<const char*, LoaderStats::Stage LoaderStats::*> stages[] = {
      {"read", &LoaderStats::read},
      {"decode", &LoaderStats::decode},
      {"resize", &LoaderStats::resize},
      {"tokenize", &LoaderStats::tokenize}};
  double probes = 0;
  for (const auto& [name, stage] : stages) {
    LoaderStats::Stage sum;
    for (const LoaderStats& part : stats) {
      probes += static_cast<double>((part.*stage).items) / samples;
      sum.bytes += (part.*stage).bytes;
      sum.busy_seconds += (part.*stage).busy_seconds;
    }
    json["stages"][name] = StageJson(sum, samples);
  }
  const double probe = ProbeSeconds();
  json["probes"] = {{"ns", 1e9 * probe},
                    {"per_sample", probes},
                    {"share_of_cpu", probe * probes * samples / total.core_seconds}};
  return json;
}

void Print(const nlohmann::ordered_json& json) {
  const auto line = [](const char* what, double rate, const nlohmann::ordered_json* ratio) {
    fmt::print("  {:<22} {:8.0f} samples/s", what, rate);
    if (ratio != nullptr) {
      fmt::print("   ratio {:.3f} ({:.3f} to {:.3f})", (*ratio)["median"].get<double>(),
                 (*ratio)["quartiles"][0].get<double>(), (*ratio)["quartiles"][1].get<double>());
    }
    fmt::print("\n");
  };
  fmt::print("{}, {} px, {} of {}; ratio: pipeline / this, median (quartiles)\n",
             Counted(json["threads"].get<int>(), "thread"), json["size"].get<int>(),
             Counted(json["slices"].get<int>(), "slice"),
             Counted(json["samples_per_slice"].get<std::int64_t>(), "sample"));
  line("pipeline", json["samples_per_second"], nullptr);
  line("kernels alone", json["kernels_only_per_second"], &json["of_kernels_only"]);
  line("decoding whole images", json["decode_only_per_second"], &json["of_decode_only"]);
  fmt::print("  {:<22} {:8.3f} core-ms per sample", "CPU", json["cpu_ms_per_sample"].get<double>());
  for (const auto& [name, stage] : json["stages"].items()) {
    fmt::print("{} {} {:.3f}", name == "read" ? ":" : ",", name,
               stage["ms_per_sample"].get<double>());
  }
  if (json.contains("drift")) {
    fmt::print("\n  {:<22} {:8.2f} of 255 mean difference from exact pixels, at most {}",
               "fast pixels", json["drift"]["mean"].get<double>(), json["drift"]["max"].get<int>());
  }
  fmt::print("\n  {:<22} {:8.0f} ns each, {:.1f} per sample: {:.3f}% of the CPU time",
             "timing probes", json["probes"]["ns"].get<double>(),
             json["probes"]["per_sample"].get<double>(),
             100 * json["probes"]["share_of_cpu"].get<double>());
  fmt::print("\n  {:<22} {:8.0f} MB above the start\n", "memory",
             json["peak_rss_mb"].get<double>());
}

}  // namespace

/// `fastclip bench pipeline --shards LIST …`: the loader compared with its kernels on the same
/// records.
int RunBenchPipeline(int argc, const char* const* argv) {
  const double start_mb = MemoryMb("VmRSS");
  PipelineBenchOptions options;
  if (!ParsePipelineBench(argc, argv, options)) return 0;
  nlohmann::ordered_json json;
  try {
    json = Measure(options, start_mb);
  } catch (const std::invalid_argument& error) {  // too little data or memory for the batches
    throw UsageError(error.what());
  }
  if (options.json) {
    fmt::print("{}\n", json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  } else {
    Print(json);
  }
  return 0;
}

}  // namespace fastclip
