// Does the verdict name the bottleneck? Runs the loader on real shards, delays each stage, and each
// of the consumer's two, by the same time per record, and counts the windows that named it.
//
//   build/tests/verdict_bench SHARDS [--windows N] [--seconds S] [--delay MS_PER_RECORD]

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "pipeline/records/record_source.h"
#include "pipeline/sources/open_source.h"
#include "tests/support/delayed_stages.h"
#include "tokenizer/tokenizer.h"

namespace fastclip {
namespace {

constexpr int kBatch = 64;
constexpr double kEnough = 0.95;

struct Settings {
  std::string list;
  int windows = 20;
  double seconds = 10;
  double delay = 10;
};

/// Whether enough windows named each bottleneck.
bool NamesEach(const Settings& settings) {
  const double batch = settings.delay * kBatch / LoaderOptions().threads;
  const std::vector<std::pair<Bottleneck, Delays>> all = {
      {Bottleneck::kDisk, {.stage = LoaderStage::kRead, .stage_ms = settings.delay}},
      {Bottleneck::kDecode, {.stage = LoaderStage::kDecode, .stage_ms = settings.delay}},
      {Bottleneck::kResize, {.stage = LoaderStage::kResize, .stage_ms = settings.delay}},
      {Bottleneck::kTokenize, {.stage = LoaderStage::kTokenize, .stage_ms = settings.delay}},
      {Bottleneck::kUpload, {.upload_ms = batch}},
      {Bottleneck::kTraining, {.training_ms = batch}},
  };
  const auto source = OpenSource(settings.list);
  const auto tokenizer = OpenTokenizer("clip");
  const OrderPlan plan({.size = source->size(), .batch_size = kBatch, .seed = 1});
  bool enough = true;
  for (const auto& [limit, delays] : all) {
    BatchLoader loader(*source, plan, {0, plan.options().lanes}, 0, plan.steps(1'000'000),
                       *tokenizer, LoaderOptions(),
                       {.before_stage = [&](LoaderStage stage) { delays.Before(stage); }});
    std::map<std::string, int> named;
    for (const auto& verdict : Verdicts(loader, delays, settings.windows, settings.seconds)) {
      ++named[BottleneckName(verdict.limit)];
    }
    fmt::print("{:<9}", BottleneckName(limit));
    for (const auto& [name, count] : named) fmt::print(" {} {}", name, count);
    fmt::print("\n");
    std::fflush(stdout);
    enough = enough && named[BottleneckName(limit)] >= kEnough * settings.windows;
  }
  return enough;
}

}  // namespace
}  // namespace fastclip

int main(int argc, char** argv) {
  if (argc % 2 != 0 || argc < 2) {
    fmt::print(stderr,
               "usage: verdict_bench SHARDS [--windows N] [--seconds S] [--delay MS_PER_RECORD]\n");
    return 2;
  }
  fastclip::Settings settings{.list = argv[1]};
  for (int i = 2; i < argc; i += 2) {
    const std::string word = argv[i];
    const double value = std::atof(argv[i + 1]);
    if (word == "--windows") settings.windows = static_cast<int>(value);
    if (word == "--seconds") settings.seconds = value;
    if (word == "--delay") settings.delay = value;
  }
  try {
    return fastclip::NamesEach(settings) ? 0 : 1;
  } catch (const std::exception& error) {
    fmt::print(stderr, "verdict_bench: {}\n", error.what());
    return 2;
  }
}
