#include "trainer/step/train_step.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/thread_communicator.h"
#include "tests/trainer/step_rank.h"
#include "trainer/base/kernels.h"

namespace fastclip {
namespace {

class EveryObjective : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(TrainStep, EveryObjective,
                         testing::Values("fastclip_v0", "fastclip_v1", "fastclip_v2", "fastclip_v3",
                                         "openclip", "siglip"));

TEST_P(EveryObjective, IsTheSameStepHoweverTheRowsAreCutIntoRanks) {
  const auto alone = WorldOfOne();
  Rank one(GetParam(), {kLanes}, *alone, /*clip_norm=*/0.5);
  std::vector<StepReport> reports;
  for (std::int64_t step = 0; step < 3; ++step) reports.push_back(one.Run(step));

  for (const std::vector<std::int64_t>& cut :
       {std::vector<std::int64_t>{4, 4}, std::vector<std::int64_t>{5, 2, 1}}) {
    RunRanks(static_cast<int>(cut.size()), [&](Communicator& comm) {
      Rank rank(GetParam(), cut, comm, /*clip_norm=*/0.5);
      for (std::int64_t step = 0; step < 3; ++step) {
        const StepReport report = rank.Run(step);
        EXPECT_NEAR(report.loss, reports[step].loss, 1e-12);
        EXPECT_NEAR(report.gradient_norm, reports[step].gradient_norm, 1e-10);
      }
      EXPECT_TRUE(at::allclose(rank.Weights(), one.Weights(), 0, 1e-9));
    });
  }
}

TEST_P(EveryObjective, IsTheSameStepInMicroBatches) {
  const auto comm = WorldOfOne();
  Rank whole(GetParam(), {kLanes}, *comm), parts(GetParam(), {kLanes}, *comm);
  for (std::int64_t step = 0; step < 3; ++step) {
    EXPECT_NEAR(whole.Run(step).loss, parts.Run(step, 4).loss, 1e-12);
  }
  EXPECT_TRUE(at::allclose(whole.Weights(), parts.Weights(), 0, 1e-9));
  EXPECT_TRUE(at::allclose(whole.table.values(), parts.table.values(), 0, 1e-9));
}

TEST_P(EveryObjective, HasTheGradientsAndEstimatorsOfTheBigBatchInTwoPasses) {
  const auto comm = WorldOfOne();
  Rank whole(GetParam(), {kLanes}, *comm);
  whole.Run(0);
  for (const std::int64_t count : {2, 4, 8}) {
    Rank parts(GetParam(), {kLanes}, *comm);
    parts.Run(0, count);
    for (std::size_t i = 0; i < whole.model.parameters().size(); ++i) {
      const auto& [name, parameter] = whole.model.parameters()[i];
      const at::Tensor ours = parts.model.parameters()[i].second.grad(), theirs = parameter.grad();
      ASSERT_EQ(ours.defined(), theirs.defined()) << name;
      if (!ours.defined()) continue;
      EXPECT_LE((ours - theirs).abs().max().item<double>(),
                1e-12 * theirs.abs().max().item<double>() + 1e-18)
          << name << ", " << count << " micro-batches";
    }
    EXPECT_TRUE(
        at::allclose(whole.table.values(), parts.table.values(), 0, 1e-12, /*equal_nan=*/true));
  }
}

TEST_P(EveryObjective, WritesNothingWhereAGradientIsNotFinite) {
  const auto comm = WorldOfOne();
  Rank rank(GetParam(), {kLanes}, *comm);
  rank.Run(0);
  // A weight that no row's feature stays finite with.
  for (const auto& [name, parameter] : rank.model.parameters()) {
    if (name == "visual.proj")
      parameter.detach().view(-1)[0] = std::numeric_limits<double>::infinity();
  }
  const at::Tensor weights = rank.Weights().clone(), state = rank.table.values().clone();
  EXPECT_FALSE(rank.Run(1).applied);
  EXPECT_TRUE(at::equal(rank.Weights(), weights));
  EXPECT_TRUE(at::equal(rank.table.values(), state));
}

std::vector<at::Tensor> Copies(const NamedTensors& tensors) {
  std::vector<at::Tensor> copies;
  for (const auto& [name, tensor] : tensors) copies.push_back(tensor.detach().clone());
  return copies;
}

TEST(TrainStep, LeavesRunningStatisticsAsTheyWereWhereItIsRefused) {
  const auto comm = WorldOfOne();
  for (const std::int64_t parts : {1, 2}) {
    Rank rank("fastclip_v3", {kLanes}, *comm, 0, "fp64", ThinResNet());
    const std::vector<at::Tensor> fresh = Copies(rank.model.buffers());
    EXPECT_TRUE(rank.Run(0, parts).applied);
    const std::vector<at::Tensor> before = Copies(rank.model.buffers());
    for (const auto& [name, parameter] : rank.model.parameters()) {
      if (name == "visual.conv1.weight") {
        parameter.detach().view(-1)[0] = std::numeric_limits<double>::infinity();
      }
    }
    EXPECT_FALSE(rank.Run(1, parts).applied);
    const std::vector<at::Tensor> after = Copies(rank.model.buffers());
    ASSERT_FALSE(after.empty());
    for (std::size_t i = 0; i < after.size(); ++i) {
      EXPECT_TRUE(at::equal(after[i], before[i])) << rank.model.buffers()[i].first;
      EXPECT_FALSE(at::equal(before[i], fresh[i])) << rank.model.buffers()[i].first;
    }
  }
}

TEST(TrainStep, GradCheckpointingChangesNoBit) {
  const auto comm = WorldOfOne();
  for (const char* precision : {"fp32", "amp_bf16"}) {
    for (const std::int64_t parts : {1, 2}) {
      Rank plain("fastclip_v3", {kLanes}, *comm, 0, precision);
      Rank saving("fastclip_v3", {kLanes}, *comm, 0, precision);
      saving.model.set_grad_checkpointing(true);
      for (std::int64_t step = 0; step < 3; ++step) {
        plain.Run(step, parts);
        saving.Run(step, parts);
      }
      EXPECT_TRUE(at::equal(plain.Weights(), saving.Weights())) << precision << ", " << parts;
      EXPECT_TRUE(at::equal(plain.table.values(), saving.table.values()));
    }
  }
}

TEST(TrainStep, AResNetTrainsInHalfPrecisionToo) {
  const auto comm = WorldOfOne();
  Rank exact("fastclip_v3", {kLanes}, *comm, 0, "fp32", ThinResNet());
  const double loss = exact.Run(0).loss;
  for (const char* precision : {"amp_bf16", "amp"}) {
    Rank half("fastclip_v3", {kLanes}, *comm, 0, precision, ThinResNet());
    StepReport report = half.Run(0);
    while (report.scale_shrank) report = half.Run(0);  // float16's first scale is too large here
    EXPECT_TRUE(report.applied) << precision;
    EXPECT_NEAR(report.loss, loss, 0.1) << precision;
    for (const auto& [name, buffer] : half.model.buffers()) {
      EXPECT_NE(buffer.scalar_type(), at::kHalf) << name;
    }
  }
}

TEST(TrainStep, HalfPrecisionFollowsTheFloat32Step) {
  const auto comm = WorldOfOne();
  Rank exact("fastclip_v3", {kLanes}, *comm, 0, "fp32");
  const double loss = exact.Run(0).loss;
  for (const auto& [precision, tolerance] :
       {std::pair("amp_bf16", 0.03), std::pair("amp", 0.004)}) {
    Rank half("fastclip_v3", {kLanes}, *comm, 0, precision);
    const StepReport report = half.Run(0);
    EXPECT_TRUE(report.applied);
    EXPECT_NE(report.loss, loss) << precision << " computed in float32";
    EXPECT_NEAR(report.loss, loss, tolerance) << precision;
    double dot = 0, norms[2] = {0, 0};
    for (std::size_t i = 0; i < exact.model.parameters().size(); ++i) {
      const at::Tensor theirs = exact.model.parameters()[i].second.grad();
      const at::Tensor ours = half.model.parameters()[i].second.grad();
      EXPECT_EQ(ours.scalar_type(), at::kFloat);
      dot += (ours * theirs).sum().item<double>();
      norms[0] += ours.square().sum().item<double>();
      norms[1] += theirs.square().sum().item<double>();
    }
    EXPECT_GT(dot / std::sqrt(norms[0] * norms[1]), 1 - tolerance) << precision;
    EXPECT_NEAR(std::sqrt(norms[0] / norms[1]), 1, tolerance) << "not unscaled, " << precision;
  }
}

TEST(TrainStep, AnOverflowOfTheGradientScaleAdvancesNothingButTheScale) {
  const auto comm = WorldOfOne();
  Rank rank("fastclip_v3", {kLanes}, *comm, 0, "amp");
  rank.Run(0);
  EXPECT_EQ(rank.step.scaler().state().good_steps, 1);
  rank.step.scaler().Set({.scale = std::ldexp(1.0, 100), .good_steps = 1});
  const at::Tensor weights = rank.Weights().clone(), state = rank.table.values().clone();
  NamedTensors moments;
  for (const auto& [name, tensor] : rank.optimizer->state())
    moments.emplace_back(name, tensor.clone());
  const StepReport report = rank.Run(1);
  EXPECT_FALSE(report.applied);
  EXPECT_TRUE(report.scale_shrank);
  EXPECT_TRUE(at::equal(rank.Weights(), weights));
  EXPECT_TRUE(at::equal(rank.table.values(), state));
  for (std::size_t i = 0; i < moments.size(); ++i) {
    EXPECT_TRUE(at::equal(rank.optimizer->state()[i].second, moments[i].second))
        << moments[i].first;
  }
  EXPECT_EQ(rank.step.scaler().state().scale, std::ldexp(1.0, 99));
  EXPECT_EQ(rank.step.scaler().state().good_steps, 0);
}

TEST(GradScaler, GrowsAfterManyGoodStepsAndStopsShrinkingAtOne) {
  const at::Tensor good = at::zeros({}, at::kBool), bad = at::ones({}, at::kBool);
  GradScaler scaler;
  scaler.Set({.good_steps = GradScaler::kGrowthInterval - 2});
  EXPECT_FALSE(scaler.Update(good).item<bool>());
  EXPECT_EQ(scaler.state().scale, GradScaler::kStart);
  scaler.Update(good);
  EXPECT_EQ(scaler.state().scale, 2 * GradScaler::kStart);
  EXPECT_EQ(scaler.state().good_steps, 0);
  for (int step = 0; step < 17; ++step) EXPECT_TRUE(scaler.Update(bad).item<bool>());
  EXPECT_EQ(scaler.state().scale, 1);
  EXPECT_FALSE(scaler.Update(bad).item<bool>());
  EXPECT_EQ(scaler.state().scale, 1);
}

TEST(TrainStep, TellsAllRanksThatOneWantsToTalk) {
  RunRanks(2, [&](Communicator& comm) {
    Rank rank("fastclip_v3", {4, 4}, comm);
    EXPECT_FALSE(rank.Run(0).to_talk);
    EXPECT_TRUE(rank.Run(1, 1, [&] { return comm.rank() == 1; }).to_talk);
    EXPECT_FALSE(rank.Run(2, 1, [] { return false; }).to_talk);
  });
}

TEST(TrainStep, SeesEveryEstimatorForTheFirstTimeOnce) {
  const auto comm = WorldOfOne();
  Rank rank("fastclip_v3", {kLanes}, *comm);
  for (std::int64_t step = 0; step < rank.plan.steps_per_epoch(); ++step) {
    EXPECT_EQ(rank.Run(step).first_visits, 1.0);
  }
  EXPECT_EQ(rank.Run(rank.plan.steps_per_epoch()).first_visits, 0.0);
}

TEST(Kernels, OfAttentionGiveTheSameUpToRounding) {
  const auto comm = WorldOfOne();
  std::vector<double> losses;
  for (const char* attention : {"auto", "flash", "math"}) {
    UseKernels({.tf32 = false, .attention = attention});
    EXPECT_FALSE(at::globalContext().allowTF32CuBLAS());
    EXPECT_EQ(at::globalContext().userEnabledMathSDP(), attention != std::string("flash"));
    losses.push_back(Rank("fastclip_v3", {kLanes}, *comm).Run(0).loss);
  }
  UseKernels({});
  EXPECT_NEAR(losses[1], losses[0], 1e-12);
  EXPECT_NEAR(losses[2], losses[0], 1e-12);
}

}  // namespace
}  // namespace fastclip
