// Steps that are recorded once and repeated equal the others: tests/support/stand_in_graph.h.

#include "trainer/step/recorded_step.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/support/stand_in_device.h"
#include "tests/support/stand_in_graph.h"
#include "tests/support/thread_communicator.h"
#include "tests/trainer/step_rank.h"

namespace fastclip {
namespace {

const at::Device kDevice = stand_in::Device();
constexpr std::int64_t kSteps = RecordedStep::kWarmUp + 6;
// With γ = 1 plain steps leave out a sum, and with it its order of addends.
constexpr double kRounding = 1e-9;

enum class Kind {
  kPlain,     ///< takes its numbers from the host
  kRecorded,  ///< RecordedStep
  kOpByOp,    ///< the same work, of which nothing is repeated
};

struct Options {
  const char* objective = "fastclip_v3";
  const char* optimizer = "adamw";
  const char* precision = "fp64";
  std::optional<ModelConfig> model{};
  double clip_norm = 0;
};

class RecordedSteps : public testing::Test {
 protected:
  void SetUp() override {
    stand_in::Register();
    stand_in::RegisterGraphs();
  }

  Rank Make(const Options& options, Kind kind) {
    kind == Kind::kOpByOp ? stand_in::RegisterEagerGraphs() : stand_in::RegisterGraphs();
    return Rank(options.objective, {kLanes}, *comm_, options.clip_norm, options.precision,
                options.model, kDevice, {.name = options.optimizer}, kind != Kind::kPlain);
  }
  /// All numbers that a step gets change from step to step. Rates are exact in float32, which fused
  /// optimizers take them in.
  static StepInput InputOf(const Rank::Part& rows, std::int64_t step) {
    StepInput input = Rank::InputOf(rows, step);
    input.epoch = step / 2;
    input.gamma = step < 2 ? 1 : 1 - 0.06 * static_cast<double>(step);
    input.rates.model = 0x1p-10 * static_cast<double>(1 + step);
    input.rates.tau = 0x1p-8 / static_cast<double>(std::int64_t{1} << step);
    return input;
  }
  static StepReport Run(Rank& rank, std::int64_t step, std::int64_t parts = 1) {
    const Rank::Part rows = rank.Micro(step, parts);
    StepInput input = InputOf(rows, step);
    input.wants_talk = [step] { return step % 3 == 1; };
    const StepReport report = rank.step.Run(input);
    EXPECT_EQ(report.to_talk, step % 3 == 1);
    return report;
  }
  static void ExpectSame(const StepReport& one, const StepReport& other, double tolerance) {
    for (const auto part :
         {&StepReport::loss, &StepReport::contrastive_loss, &StepReport::log_u_mean,
          &StepReport::tau_mean, &StepReport::first_visits, &StepReport::gradient_norm,
          &StepReport::logit_scale, &StepReport::lr_tau}) {
      if (std::isnan(one.*part) && std::isnan(other.*part)) continue;
      EXPECT_NEAR(one.*part, other.*part, tolerance);
    }
    if (tolerance == 0) {  // otherwise rounding decides ties
      EXPECT_TRUE(one.in_batch_accuracy == other.in_batch_accuracy || !one.applied);
    }
    EXPECT_EQ(one.applied, other.applied);
    EXPECT_EQ(one.scale_shrank, other.scale_shrank);
  }
  static void ExpectSame(const Rank& one, const Rank& other, double tolerance) {
    const std::vector<at::Tensor> left = one.Everything(), right = other.Everything();
    ASSERT_EQ(left.size(), right.size());
    for (std::size_t i = 0; i < left.size(); ++i) {
      EXPECT_TRUE(at::allclose(left[i], right[i], tolerance, tolerance, /*equal_nan=*/true)) << i;
    }
  }
  /// `tolerance` 0: to the bit.
  void ExpectSameSteps(const Options& options, Kind kind, double tolerance, std::int64_t parts = 1,
                       bool checkpointing = false) {
    Rank expected = Make(options, kind), recorded = Make(options, Kind::kRecorded);
    for (Rank* rank : {&expected, &recorded}) {
      rank->table.MoveTo(kDevice);
      rank->model.set_grad_checkpointing(checkpointing);
    }
    for (std::int64_t step = 0; step < kSteps; ++step) {
      SCOPED_TRACE(step);
      ExpectSame(Run(expected, step, parts), Run(recorded, step, parts), tolerance);
      ExpectSame(expected, recorded, tolerance);
    }
  }
  /// Nothing of a step is left out of the record.
  void ExpectRepeated(const Options& options, std::int64_t parts = 1, bool checkpointing = false) {
    ExpectSameSteps(options, Kind::kOpByOp, 0, parts, checkpointing);
  }

  std::unique_ptr<Communicator> comm_ = WorldOfOne();
};

class RecordedObjective : public RecordedSteps, public testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(EveryObjective, RecordedObjective,
                         testing::Values("fastclip_v0", "fastclip_v1", "fastclip_v2", "fastclip_v3",
                                         "sogclr", "isogclr", "openclip", "siglip"));

TEST_P(RecordedObjective, EqualsTheStepsThatAreNot) {
  ExpectSameSteps({.objective = GetParam(), .clip_norm = 0.5}, Kind::kPlain, kRounding);
}

TEST_P(RecordedObjective, RepeatsWhatItRecordedToTheBit) {
  ExpectRepeated({.objective = GetParam(), .clip_norm = 0.5});
  ExpectRepeated({.objective = GetParam(), .precision = "fp32"});
}

class RecordedOptimizer : public RecordedSteps, public testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(EveryOptimizer, RecordedOptimizer,
                         testing::Values("adamw", "lamb", "lion", "sgdm"));

TEST_P(RecordedOptimizer, EqualsTheStepsThatAreNot) {
  ExpectSameSteps({.optimizer = GetParam()}, Kind::kPlain, kRounding);
}

TEST_P(RecordedOptimizer, RepeatsWhatItRecordedToTheBit) {
  ExpectRepeated({.objective = "fastclip_v2", .optimizer = GetParam(), .precision = "fp32"});
}

TEST_F(RecordedSteps, AreRepeatedInEachPrecision) {
  for (const char* precision : {"amp_bf16", "amp"}) ExpectRepeated({.precision = precision});
}

TEST_F(RecordedSteps, OfAResNetAreRepeated) {
  ExpectRepeated({.precision = "fp32", .model = ThinResNet()});
}

TEST_F(RecordedSteps, InMicroBatchesAndWithCheckpointingAreRepeated) {
  ExpectRepeated({}, /*parts=*/2);
  ExpectRepeated({}, /*parts=*/1, /*checkpointing=*/true);
}

TEST_F(RecordedSteps, ThatAreRefusedChangeNothing) {
  const Options options{.objective = "fastclip_v2", .model = ThinModel("fastclip_v2")};
  Rank expected = Make(options, Kind::kOpByOp), recorded = Make(options, Kind::kRecorded);
  for (Rank* rank : {&expected, &recorded}) rank->table.MoveTo(kDevice);
  for (std::int64_t step = 0; step < kSteps; ++step) {
    const std::vector<at::Tensor> before = recorded.Everything();
    for (Rank* rank : {&expected, &recorded}) {
      Rank::Part rows = rank->Micro(step, 1);
      // One while warming up, one of those that are repeated.
      const bool breaks = step == 1 || step == RecordedStep::kWarmUp + 2;
      if (breaks) rows.micro[0].images[0].fill_(std::numeric_limits<double>::quiet_NaN());
      EXPECT_EQ(rank->step.Run(InputOf(rows, step)).applied, !breaks);
      if (!breaks || rank == &expected) continue;
      const std::vector<at::Tensor> after = recorded.Everything();
      for (std::size_t i = 0; i < after.size(); ++i) EXPECT_TRUE(at::equal(before[i], after[i]));
    }
    ExpectSame(expected, recorded, 0);
  }
}

TEST_F(RecordedSteps, HalveTheGradientScaleWhereItOverflows) {
  Rank expected = Make({.precision = "amp"}, Kind::kOpByOp),
       recorded = Make({.precision = "amp"}, Kind::kRecorded);
  for (Rank* rank : {&expected, &recorded}) rank->table.MoveTo(kDevice);
  for (std::int64_t step = 0; step < kSteps; ++step) {
    if (step == RecordedStep::kWarmUp + 1) {
      for (Rank* rank : {&expected, &recorded}) rank->step.scaler().Set({.scale = 0x1p100});
    }
    ExpectSame(Run(expected, step), Run(recorded, step), 0);
    ExpectSame(expected, recorded, 0);
    EXPECT_EQ(expected.step.scaler().state().scale, recorded.step.scaler().state().scale);
    EXPECT_EQ(expected.step.scaler().state().good_steps, recorded.step.scaler().state().good_steps);
  }
  EXPECT_EQ(recorded.step.scaler().state().scale, 0x1p95);
}

TEST_F(RecordedSteps, TakeALearningRateThatReadsTheTemperature) {
  Rank plain = Make({}, Kind::kPlain), recorded = Make({}, Kind::kRecorded);
  for (Rank* rank : {&plain, &recorded}) rank->table.MoveTo(kDevice);
  for (std::int64_t step = 0; step < kSteps; ++step) {
    std::vector<StepReport> reports;
    for (Rank* rank : {&plain, &recorded}) {
      const Rank::Part rows = rank->Micro(step, 1);
      StepInput input = InputOf(rows, step);
      input.rates.tau_on_device =
          at::full({}, 0.01F * static_cast<float>(step + 1), at::TensorOptions(kDevice));
      reports.push_back(rank->step.Run(input));
    }
    ExpectSame(reports[0], reports[1], kRounding);
    ExpectSame(plain, recorded, kRounding);
  }
}

// As a run does: a step is enqueued before the last one's results are read.
TEST_F(RecordedSteps, AreFewLaunchesAndNoWait) {
  Rank plain = Make({}, Kind::kPlain), recorded = Make({}, Kind::kRecorded);
  for (Rank* rank : {&plain, &recorded}) rank->table.MoveTo(kDevice);
  std::vector<Rank::Part> rows;
  for (std::int64_t step = 0; step < kSteps; ++step) rows.push_back(recorded.Micro(step, 1));
  std::vector<LateReport> late;
  for (std::int64_t step = 0; step < kSteps; ++step) {
    stand_in::ResetCounts();
    late.push_back(recorded.step.Enqueue(InputOf(rows[static_cast<std::size_t>(step)], step)));
    const stand_in::Counts counts = stand_in::counts();
    EXPECT_EQ(counts.host_reads, 0);
    EXPECT_EQ(counts.event_waits, 0);
    EXPECT_EQ(counts.blocking_copies, 0);
    if (step > RecordedStep::kWarmUp) {
      EXPECT_LE(counts.ops, 6);
    }
  }
  for (std::int64_t step = 0; step < kSteps; ++step) {
    ExpectSame(Run(plain, step), late[static_cast<std::size_t>(step)](), kRounding);
  }
  ExpectSame(plain, recorded, kRounding);
}

TEST_F(RecordedSteps, RefuseBatchesOfAnotherShapeAndStateOnTheHost) {
  Rank recorded = Make({}, Kind::kRecorded);
  EXPECT_THROW(Run(recorded, 0), std::logic_error) << "its table is in host memory";
  Rank other = Make({}, Kind::kRecorded);
  other.table.MoveTo(kDevice);
  Run(other, 0);
  Rank::Part rows = other.Micro(1, 1);
  rows.micro[0].tokens = rows.micro[0].tokens.narrow(1, 0, 7);
  EXPECT_THROW(other.step.Run(InputOf(rows, 1)), std::logic_error);
  EXPECT_THROW(Run(other, 1, 2), std::logic_error) << "two micro-batches, not one";
}

TEST_F(RecordedSteps, AreRefusedOnADeviceThatCannotRecord) {
  try {
    Rank("fastclip_v3", {kLanes}, *comm_, 0, "fp64", {}, at::kCPU, {}, /*recorded=*/true);
    FAIL();
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("train.cuda_graphs = false"), std::string::npos);
  }
}

TEST_F(RecordedSteps, NameTheKeyIfTheWorkCannotBeRecorded) {
  const auto read = at::ones({}, at::TensorOptions(kDevice));
  RecordedStep step(
      kDevice,
      [&](const StepWork&) {
        read.item<float>();  // a wait of the host
        return StepOutcome{};
      },
      [] {});
  std::vector<at::Tensor> kept;
  for (int run = 0; run < RecordedStep::kWarmUp; ++run) step.Run({}, {}, kept);
  try {
    step.Run({}, {}, kept);
    FAIL();
  } catch (const std::runtime_error& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find("train.cuda_graphs: the step could not be recorded"), text.npos) << text;
    EXPECT_NE(text.find("a wait of the host while a graph is recorded"), text.npos) << text;
  }
}

}  // namespace
}  // namespace fastclip
