#include "pipeline/stage_report.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <thread>

#include "tests/pipeline/loader_fixture.h"

namespace fastclip {
namespace {

using std::chrono::milliseconds;

struct Delays {
  std::optional<LoaderStage> stage = {};
  int upload_ms = 0;  // of the consumer, a batch
  int training_ms = 0;
};

/// Trains on nothing for some windows, and asks in each what holds the run back.
std::vector<std::string> Verdicts(const Delays& delays, int windows) {
  constexpr int kBatch = 16;
  const FakeSource source(4000);
  const OrderPlan plan({.size = 4000, .batch_size = kBatch, .lanes = 4, .seed = 1});
  LoaderOptions options = Options();
  options.threads = 2;
  options.io_threads = 2;
  options.before_stage = [&](LoaderStage stage) {
    if (delays.stage == stage) std::this_thread::sleep_for(milliseconds(2));
  };
  const ByteTokenizer tokenizer;
  BatchLoader loader(source, plan, {0, 4}, 0, plan.steps(100), tokenizer, options);
  loader.Next();
  std::vector<std::string> verdicts;
  for (int window = 0; window < windows; ++window) {
    const LoaderStats before = loader.stats();
    const auto start = std::chrono::steady_clock::now();
    const auto seconds = [&] {
      return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    };
    double uploading = 0;
    while (seconds() < 0.08) {
      loader.Next();
      const double began = seconds();
      std::this_thread::sleep_for(milliseconds(delays.upload_ms));
      uploading += seconds() - began;
      std::this_thread::sleep_for(milliseconds(delays.training_ms));
    }
    const StageReport report = ReportBetween(before, loader.stats(), seconds());
    const StageVerdict verdict = Judge(report, uploading / seconds());
    EXPECT_EQ(verdict.text.find(BottleneckName(verdict.limit)), 0u) << verdict.text;
    verdicts.push_back(BottleneckName(verdict.limit));
  }
  return verdicts;
}

void ExpectNamed(const Delays& delays, const std::string& limit) {
  constexpr int kWindows = 12;
  const auto verdicts = Verdicts(delays, kWindows);
  EXPECT_GE(std::ranges::count(verdicts, limit), kWindows - 1) << limit;
}

TEST(Verdict, NamesTheStageThatIsSlow) {
  ExpectNamed({.stage = LoaderStage::kRead}, "disk");
  ExpectNamed({.stage = LoaderStage::kDecode}, "decode");
  ExpectNamed({.stage = LoaderStage::kResize}, "resize");
  ExpectNamed({.stage = LoaderStage::kTokenize}, "tokenize");
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
