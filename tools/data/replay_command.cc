#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "pipeline/base/printable.h"
#include "pipeline/files/stream_hash.h"
#include "pipeline/loader/batch_loader.h"
#include "pipeline/loader/compute_pool.h"
#include "pipeline/order/order_plan.h"
#include "pipeline/sources/open_source.h"
#include "tokenizer/tokenizer.h"
#include "tools/cli/cli.h"
#include "tools/cli/tell.h"
#include "tools/cli/usage_error.h"

namespace fastclip {
namespace {

struct ReplayOptions {
  std::string list;
  SourceOptions source;
  CaptionOptions captions;
  TableOptions table;
  OrderWords order_words;
  PictureOptions pictures;
  std::string tokenizer = "clip";
  OrderOptions order;
  LoaderOptions loader;
  std::int64_t epoch = 0;
  std::int64_t from = 0;
  std::int64_t steps = 0;  // 0: to the epoch's end
  int world = 1;
};

bool Parse(int argc, const char* const* argv, ReplayOptions& o) {
  CLI::App app(
      "Makes the global batches of an epoch as a training run would and prints a line for each: "
      "its\n"
      "number in the epoch, and the xxh3 of its SampleIndex in order, of its pixels, of its "
      "tokens.\n"
      "Equal lines are equal batches: they depend on neither --world nor --threads.",
      "fastclip shards replay");
  app.add_option("LIST", o.list, "shards (braces, globs, ::), a table, or synthetic:N")->required();
  app.add_option("--seed", o.order.seed, "seed of the run")->required();
  app.add_option("--epoch", o.epoch, "epoch, from 0")->required()->check(CLI::Range(0, 1'000'000));
  app.add_option("--batch", o.order.batch_size, "rows of a global batch")
      ->required()
      ->check(CLI::Range(1, kMaxBatchRows));
  app.add_option("--world", o.world, "ranks to play, their rows joined in rank order")
      ->required()
      ->check(CLI::Range(1, kMaxBatchRows));
  app.add_option("--from", o.from, "first step, from 0 in the epoch")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--steps", o.steps, "number of steps; default: to the epoch's end")
      ->check(CLI::PositiveNumber);
  app.add_option("--threads", o.loader.threads, "threads that decode, for each rank")
      ->check(CLI::Range(1, kMostThreads))
      ->capture_default_str();
  app.add_option("--size", o.loader.image_size, "side of the training crop, pixels")
      ->check(CLI::Range(1, kMaxImageSize))
      ->capture_default_str();
  app.add_option("--context", o.loader.context_length, "ids of a caption")
      ->check(CLI::Range(2, 1 << 20))
      ->capture_default_str();
  app.add_option("--tokenizer", o.tokenizer, "clip, clip:VOCABULARY or sentencepiece:MODEL")
      ->check(WrongTokenizer)
      ->capture_default_str();
  app.add_option("--lanes", o.order.lanes, "the run's data.lanes; default: as a run's");
  app.add_option("--chunk", o.order.chunk, "the run's data.chunk; default: as a run's");
  app.add_option("--window", o.order.window, "the run's data.window; default: as a run's");
  o.order_words.AddTo(app);
  o.captions.AddTo(app);
  o.table.AddTo(app);
  o.pictures.AddTo(app);
  AddPixelsTo(app, o.loader.fast_pixels);
  app.add_option("--manifest", o.source.manifest, "manifest file; default: beside the shards");
  app.add_flag("--verify", o.source.verify_checksums,
               "compare each record with the checksum that shards index --checksum took");
  app.footer(
      "example: fastclip shards replay 'shards/{00000..00099}.tar' --seed 1 --epoch 0 "
      "--batch 1024 --world 4 --steps 10");
  return ParseArguments(app, argc, argv);
}

std::vector<std::unique_ptr<BatchLoader>> OpenLoaders(const ReplayOptions& o,
                                                      const RecordSource& source,
                                                      const OrderPlan& plan, std::int64_t first,
                                                      std::int64_t last,
                                                      const Tokenizer& tokenizer) {
  const auto lanes = plan.EvenLanes(o.world);
  std::vector<std::unique_ptr<BatchLoader>> loaders;
  for (int rank = 0; rank < o.world; ++rank) {
    loaders.push_back(std::make_unique<BatchLoader>(source, plan, plan.LanesOf(rank, lanes), first,
                                                    last, tokenizer, o.loader));
  }
  return loaders;
}

std::int64_t StepsOf(const OrderPlan& plan, std::int64_t epoch) {
  return plan.steps(epoch + 1) - plan.steps(epoch);
}

void Replay(const ReplayOptions& o, const RecordSource& source, const OrderPlan& plan) {
  const std::int64_t there = StepsOf(plan, o.epoch) - o.from;
  const std::int64_t last = o.from + (o.steps == 0 ? there : std::min(o.steps, there));
  const std::int64_t epoch_start = plan.steps(o.epoch);
  const auto tokenizer = OpenTokenizer(o.tokenizer);
  const auto start = std::chrono::steady_clock::now();
  const auto loaders =
      OpenLoaders(o, source, plan, epoch_start + o.from, epoch_start + last, *tokenizer);
  StreamHash indices, pixels, tokens;
  SkipCounts skips{};
  for (std::int64_t step = o.from; step < last; ++step) {
    for (StreamHash* hash : {&indices, &pixels, &tokens}) hash->Restart();
    for (const auto& loader : loaders) {
      const Batch batch = loader->Next().value();
      indices.Add(std::as_bytes(batch.indices()));
      pixels.Add(std::as_bytes(batch.pixels()));
      tokens.Add(std::as_bytes(batch.tokens()));
      skips += batch.skips();
    }
    fmt::print("{} {:016x} {:016x} {:016x}\n", step, indices.Digest(), pixels.Digest(),
               tokens.Digest());
  }
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const auto samples = static_cast<double>((last - o.from) * o.order.batch_size);
  const std::string skipped = DescribeSkips(skips);
  Tell("{}, {:.0f} samples in {:.1f} s: {:.0f} samples/s; skipped: {}\n",
       Counted(last - o.from, "step"), samples, seconds, samples / seconds,
       skipped.empty() ? "none" : skipped);
}

/// The order of the run, or the reason why these options cannot be one.
OrderPlan MakePlan(const ReplayOptions& o) {
  try {
    const OrderPlan plan(o.order);
    plan.EvenLanes(o.world);
    return plan;
  } catch (const std::invalid_argument& wrong) {
    throw UsageError(wrong.what());
  }
}

}  // namespace

/// `fastclip shards replay`: the hashes of an epoch's global batches, one line each.
int RunReplay(int argc, const char* const* argv) {
  ReplayOptions o;
  if (!Parse(argc, argv, o)) return 0;
  o.source.captions = o.captions.Parsed();
  o.source.table = o.table.Parsed();
  o.source.caption_lines = o.captions.LinesOr(CaptionLines::kWhole);
  o.pictures.Apply(o.source, o.loader.decode);
  const OpenedSource opened = OpenSourceWithInfo(o.list, o.source);
  for (const std::string& line : WarningLines(opened.parts)) Tell("{}\n", line);
  o.order_words.Apply(*opened.source, o.order);
  const OrderPlan plan = MakePlan(o);
  const std::int64_t steps = StepsOf(plan, o.epoch);
  if (o.from >= steps) {
    throw UsageError(
        fmt::format("--from {}: epoch {} has the steps 0 to {}", o.from, o.epoch, steps - 1));
  }
  Replay(o, *opened.source, plan);
  return 0;
}

}  // namespace fastclip
