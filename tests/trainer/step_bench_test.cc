// `fastclip bench step` on a device that is not the CPU: tests/support/stand_in_device.h.

#include "tools/bench/step_bench.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/stand_in_device.h"
#include "tests/support/stand_in_graph.h"
#include "trainer/config/config.h"
#include "trainer/run/run_setup.h"
#include "trainer/step/recorded_step.h"

namespace fastclip {
namespace {

constexpr std::int64_t kSteps = RecordedStep::kWarmUp + 1 + 2;  // the fewest

class StepBenchOnADevice : public testing::Test {
 protected:
  void SetUp() override {
    stand_in::Register();
    stand_in::RegisterGraphs();
  }
  /// Waits of the fewest steps, once all that is made once was made.
  static stand_in::Counts Measure(std::vector<std::string> words) {
    words.insert(words.end(), {"train.batch_size=8", "objective.name=fastclip_v3"});
    const LoadedConfig config("configs/quickstart.toml", words);
    StepBench bench(*config, ModelOf(config), /*start_mb=*/0, stand_in::Device());
    bench.Time(bench.real(), 0);
    stand_in::ResetCounts();
    const StepTiming timing = bench.Time(bench.real(), 0);
    EXPECT_EQ(timing.seconds.size(), 2U);
    EXPECT_GT(timing.step_seconds, 0);
    EXPECT_GT(timing.text_tokens, 0);
    return stand_in::counts();
  }
};

TEST_F(StepBenchOnADevice, WaitsOnceAStepAndForNoCopy) {
  for (const std::vector<std::string>& words : {std::vector<std::string>{"model.patch_dropout=0.5"},
                                                {"model.trim_text=false", "train.cuda_graphs=true"},
                                                {"train.micro_batches=2"}}) {
    const stand_in::Counts counts = Measure(words);
    EXPECT_EQ(counts.event_waits, kSteps) << words.front();
    EXPECT_EQ(counts.idle_waits, 1) << words.front();  // for the last: the others are read late
    if (words.back() != "train.cuda_graphs=true") {    // rates of a recorded step go with its work
      EXPECT_EQ(counts.uploads_behind_ops, 0) << words.front();
    }
    EXPECT_EQ(counts.host_reads, 0) << words.front();
    EXPECT_EQ(counts.blocking_copies, 0) << words.front();
    EXPECT_GE(counts.late_copies, 4 * kSteps) << words.front();  // pixels, ids, ends, report
  }
}

TEST_F(StepBenchOnADevice, WaitsForEachStepWithItsStateInHostMemory) {
  const stand_in::Counts counts = Measure({"train.state=host"});
  EXPECT_EQ(counts.event_waits, kSteps);
  EXPECT_GE(counts.host_reads, kSteps);
}

}  // namespace
}  // namespace fastclip
