#include "pipeline/loader/stage_report.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/pipeline/loader_fixture.h"
#include "tests/support/delayed_stages.h"

namespace fastclip {
namespace {

void ExpectNamed(const Delays& delays, const std::string& limit) {
  constexpr int kWindows = 12;
  const FakeSource source(4000);
  const OrderPlan plan({.size = 4000, .batch_size = 16, .lanes = 4, .seed = 1});
  const ByteTokenizer tokenizer;
  BatchLoader loader(source, plan, {0, 4}, 0, plan.steps(100), tokenizer, Options(),
                     {.before_stage = [&](LoaderStage stage) { delays.Before(stage); }});
  int named = 0;
  for (const StageVerdict& verdict : Verdicts(loader, delays, kWindows, 0.16)) {
    const bool model = verdict.limit == Bottleneck::kTraining;
    const std::string name = model ? "the model" : BottleneckName(verdict.limit);
    EXPECT_TRUE(verdict.text.starts_with("Bottleneck: " + name + " (")) << verdict.text;
    named += BottleneckName(verdict.limit) == limit;
  }
  EXPECT_GE(named, kWindows - 1) << limit;
}

TEST(Verdict, NamesTheStageThatIsSlow) {
  ExpectNamed({.stage = LoaderStage::kRead, .stage_ms = 5}, "disk");
  ExpectNamed({.stage = LoaderStage::kDecode, .stage_ms = 5}, "decode");
  ExpectNamed({.stage = LoaderStage::kResize, .stage_ms = 5}, "resize");
  ExpectNamed({.stage = LoaderStage::kTokenize, .stage_ms = 5}, "tokenize");
}

TEST(Verdict, NamesTheConsumerThatIsSlow) {
  ExpectNamed({.upload_ms = 40, .training_ms = 5}, "upload");
  ExpectNamed({.upload_ms = 5, .training_ms = 40}, "training");
}

TEST(StageReport, TellsWhatWaitsForWhat) {
  LoaderStats before, now;
  before.threads = now.threads = 4;
  before.io_threads = now.io_threads = 2;
  now.read = {.items = 100, .bytes = 5'000'000, .busy_seconds = 1};
  now.decode = {.items = 90, .bytes = 4'500'000, .busy_seconds = 4};
  now.resize = {.items = 90, .bytes = 900'000, .busy_seconds = 1};
  now.tokenize = {.items = 90, .bytes = 900, .busy_seconds = 1};
  now.blocked_seconds = 3;
  now.starved_seconds = 0.5;
  const StageReport report = ReportBetween(before, now, 2);
  EXPECT_DOUBLE_EQ(report.read.items_per_second, 50);
  EXPECT_DOUBLE_EQ(report.read.mb_per_second, 2.5);
  EXPECT_DOUBLE_EQ(report.decode.busy, 2);
  EXPECT_DOUBLE_EQ(report.workers_idle, 0.25);
  EXPECT_DOUBLE_EQ(report.readers_blocked, 0.75);
  EXPECT_DOUBLE_EQ(report.starved, 0.25);
}

}  // namespace
}  // namespace fastclip
