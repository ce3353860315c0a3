#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
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
#include "tools/data/replay_setup.h"

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
  int threads = LoaderOptions().threads;
  bool of_run = false;
};

/// Whether `path` is a config file or a run folder.
bool IsConfigOrRun(const std::string& path) {
  std::error_code none;
  return path.ends_with(".toml") || std::filesystem::is_regular_file(path + "/config.toml", none);
}

/// Refuses options whose values come from the run's config.
void RefuseKeysOfTheRun(const CLI::App& app) {
  static constexpr std::array<std::string_view, 8> kFree = {
      "LIST", "--epoch", "--from", "--steps", "--threads", "--world", "--verify", "--help"};
  for (const CLI::Option* option : app.get_options()) {
    const std::string name = option->get_name();
    if (option->count() > 0 && std::ranges::find(kFree, name) == kFree.end()) {
      throw UsageError(fmt::format(
          "{} cannot be combined with a run or config, which sets it; omit it, or set LIST to "
          "the shards",
          name));
    }
  }
}

bool Parse(int argc, const char* const* argv, ReplayOptions& o) {
  CLI::App app(
      "Rebuilds the global batches of an epoch and prints one line of hashes per batch.\n"
      "A line has the step in the epoch, then the xxh3 hashes of the sample indices, pixels and\n"
      "tokens. Lines are equal if the batches are; they do not depend on --world or --threads.",
      "fastclip shards replay");
  app.add_option(
         "LIST", o.list,
         std::string("a run folder or CONFIG.toml, which sets all options about data; or ") +
             kListHelp)
      ->required();
  CLI::Option* const seed = app.add_option(
      "--seed", o.order.seed,
      "random seed of the run (train.seed); required unless LIST is a run or config");
  app.add_option("--epoch", o.epoch, "epoch, counted from 0")
      ->required()
      ->check(Between(0, 1'000'000));
  CLI::Option* const batch =
      app.add_option(
             "--batch", o.order.batch_size,
             "samples per global batch (train.batch_size); required unless LIST is a run or config")
          ->check(Between(1, kMaxBatchRows));
  app.add_option("--world", o.world, "number of ranks to simulate")
      ->check(Between(1, kMaxBatchRows))
      ->capture_default_str();
  app.add_option("--from", o.from, "first step, counted from 0 in the epoch")
      ->check(AtLeast(0))
      ->capture_default_str();
  app.add_option("--steps", o.steps, "number of steps; default: to the epoch's end")
      ->check(Between(1, std::int64_t{1} << 40));
  app.add_option("--threads", o.threads, "CPU threads per rank")
      ->check(Between(1, kMostThreads))
      ->capture_default_str();
  app.add_option("--size", o.loader.image_size, kCropHelp)
      ->check(Between(1, kMaxImageSize))
      ->capture_default_str();
  app.add_option("--context", o.loader.context_length, kContextHelp)
      ->check(Between(2, 1 << 20))
      ->capture_default_str();
  app.add_option("--tokenizer", o.tokenizer, kTokenizerHelp)
      ->check(WrongTokenizer)
      ->capture_default_str();
  app.add_option("--lanes", o.order.lanes, "lanes of the shuffle (data.lanes); default: automatic");
  app.add_option("--chunk", o.order.chunk,
                 "consecutive records that stay together (data.chunk); default: automatic");
  app.add_option("--window", o.order.window,
                 "records shuffled together (data.window); default: automatic");
  o.order_words.AddTo(app);
  o.captions.AddTo(app);
  o.table.AddTo(app);
  o.pictures.AddTo(app);
  AddPixelsTo(app, o.loader.fast_pixels);
  app.add_option("--manifest", o.source.manifest, kManifestHelp);
  app.add_flag("--verify", o.source.verify_checksums, kVerifyHelp);
  app.footer(
      "example: fastclip shards replay runs/quickstart --epoch 3 --steps 10\n"
      "         fastclip shards replay 'build/quickstart/train/*.tar' --seed 1 --epoch 0 "
      "--batch 64 --world 4 --steps 10");
  if (!ParseArguments(app, argc, argv)) return false;
  o.of_run = IsConfigOrRun(o.list);
  if (o.of_run) {
    RefuseKeysOfTheRun(app);
  } else if (seed->count() == 0 || batch->count() == 0) {
    throw UsageError(fmt::format(
        "'{}' is not a run folder or CONFIG.toml; set --seed and --batch to those of the "
        "run",
        o.list));
  }
  return true;
}

std::vector<std::unique_ptr<BatchLoader>> OpenLoaders(const ReplaySetup& setup, int world,
                                                      std::int64_t first, std::int64_t last) {
  const auto lanes = setup.plan.EvenLanes(world);
  std::vector<std::unique_ptr<BatchLoader>> loaders;
  for (int rank = 0; rank < world; ++rank) {
    loaders.push_back(std::make_unique<BatchLoader>(*setup.source, setup.plan,
                                                    setup.plan.LanesOf(rank, lanes), first, last,
                                                    *setup.tokenizer, setup.loader));
  }
  return loaders;
}

std::int64_t StepsOf(const OrderPlan& plan, std::int64_t epoch) {
  return plan.steps(epoch + 1) - plan.steps(epoch);
}

void Replay(const ReplayOptions& o, const ReplaySetup& setup) {
  const OrderPlan& plan = setup.plan;
  const std::int64_t there = StepsOf(plan, o.epoch) - o.from;
  const std::int64_t last = o.from + (o.steps == 0 ? there : std::min(o.steps, there));
  const std::int64_t epoch_start = plan.steps(o.epoch);
  const auto start = std::chrono::steady_clock::now();
  const auto loaders = OpenLoaders(setup, o.world, epoch_start + o.from, epoch_start + last);
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
  const std::int64_t samples = (last - o.from) * plan.options().batch_size;
  const std::string skipped = DescribeSkips(skips);
  Tell("{}, {} in {:.1f} s: {:.0f} samples/s; skipped: {}\n", Counted(last - o.from, "step"),
       Counted(samples, "sample"), seconds, static_cast<double>(samples) / seconds,
       skipped.empty() ? "none" : skipped);
}

/// The setup that the options describe.
ReplaySetup SetupOf(ReplayOptions& o) {
  o.source.captions = o.captions.Parsed();
  o.source.table = o.table.Parsed();
  o.source.caption_lines = o.captions.LinesOr(CaptionLines::kWhole);
  o.pictures.Apply(o.source, o.loader.decode);
  OpenedSource opened = OpenSourceWithInfo(o.list, o.source);
  for (const std::string& line : WarningLines(opened.parts)) Tell("{}\n", line);
  o.order_words.Apply(*opened.source, o.order);
  auto tokenizer = OpenTokenizer(o.tokenizer);
  try {
    return {std::move(opened.source), OrderPlan(o.order), std::move(tokenizer), o.loader, 0};
  } catch (const std::invalid_argument& wrong) {
    throw UsageError(wrong.what());
  }
}

ReplaySetup Setup(ReplayOptions& o, OpenRun* open_run) {
  if (!o.of_run) return SetupOf(o);
  if (open_run != nullptr) return open_run(o.list, o.source.verify_checksums);
  throw UsageError(o.list + ": this binary was built without LibTorch and cannot read configs");
}

}  // namespace

int ReplayEpoch(int argc, const char* const* argv, OpenRun* open_run) {
  ReplayOptions o;
  if (!Parse(argc, argv, o)) return 0;
  ReplaySetup setup = Setup(o, open_run);
  setup.loader.threads = o.threads;
  try {
    setup.plan.EvenLanes(o.world);
  } catch (const std::invalid_argument& wrong) {
    throw UsageError(wrong.what());
  }
  if (setup.epochs > 0 && o.epoch >= setup.epochs) {
    throw UsageError(fmt::format("--epoch must be from 0 to {} (train.epochs - 1), not {}",
                                 setup.epochs - 1, o.epoch));
  }
  const std::int64_t steps = StepsOf(setup.plan, o.epoch);
  if (o.from >= steps) {
    throw UsageError(
        fmt::format("--from must be from 0 to {} in epoch {}, not {}", steps - 1, o.epoch, o.from));
  }
  Replay(o, setup);
  return 0;
}

}  // namespace fastclip
