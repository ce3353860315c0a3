// Steps that are enqueued before the last one's results are read, and refused on the device.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/open_calls.h"
#include "tests/support/stand_in_device.h"
#include "tests/support/thread_communicator.h"
#include "tests/trainer/step_rank.h"
#include "trainer/step/column_calibration.h"

namespace fastclip {
namespace {

const at::Device kDevice = stand_in::Device();

class LateStep : public testing::Test {
 protected:
  void SetUp() override { stand_in::Register(); }
};

Rank OnDevice(const char* objective, Communicator& comm, const OptimizerOptions& optimizer = {},
              const char* precision = "fp64", const std::optional<ModelConfig>& model = {}) {
  return Rank(objective, {kLanes}, comm, 0, precision, model, kDevice, optimizer);
}

void ExpectEqual(const std::vector<at::Tensor>& left, const std::vector<at::Tensor>& right) {
  ASSERT_EQ(left.size(), right.size());
  for (std::size_t i = 0; i < left.size(); ++i) EXPECT_TRUE(at::equal(left[i], right[i])) << i;
}

TEST_F(LateStep, IsTheSameIfTheNextIsEnqueuedBeforeItsResultsAreRead) {
  const auto comm = WorldOfOne();
  Rank cpu("fastclip_v3", {kLanes}, *comm);
  Rank device = OnDevice("fastclip_v3", *comm);
  device.table.MoveTo(kDevice);
  std::vector<Rank::Part> rows;
  for (std::int64_t step = 0; step < 4; ++step) rows.push_back(device.Micro(step, 1));
  stand_in::ResetCounts();
  std::vector<LateReport> late;
  for (std::int64_t step = 0; step < 4; ++step) {
    late.push_back(device.step.Enqueue(Rank::InputOf(rows[static_cast<std::size_t>(step)], step)));
  }
  EXPECT_EQ(stand_in::counts().host_reads, 0);
  EXPECT_EQ(stand_in::counts().event_waits, 0);
  EXPECT_EQ(stand_in::counts().blocking_copies, 0);
  for (std::int64_t step = 0; step < 4; ++step) {
    const StepReport expected = cpu.Run(step), report = late[static_cast<std::size_t>(step)]();
    EXPECT_NEAR(report.loss, expected.loss, 1e-9);
    EXPECT_NEAR(report.gradient_norm, expected.gradient_norm, 1e-9);
    EXPECT_NEAR(report.logit_scale, expected.logit_scale, 1e-12);
    EXPECT_TRUE(report.applied);
  }
  EXPECT_TRUE(at::allclose(device.Weights(), cpu.Weights(), 0, 1e-9));
}

class LateRefusal : public LateStep, public testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(EveryOptimizer, LateRefusal,
                         testing::Values("adamw", "lamb", "lion", "sgdm"));

// The device decides: the host has enqueued the next step when it hears of it.
TEST_P(LateRefusal, ChangesNothingAndTheNextStepIsAsIfItHadNotBeen) {
  const auto comm = WorldOfOne();
  const OptimizerOptions options{.name = GetParam()};
  for (const std::int64_t before : {0, 2}) {
    Rank rank = OnDevice("fastclip_v2", *comm, options),
         whole = OnDevice("fastclip_v2", *comm, options);
    for (Rank* each : {&rank, &whole}) {
      each->table.MoveTo(kDevice);
      for (std::int64_t step = 0; step < before; ++step) each->Run(step);
    }
    const std::vector<at::Tensor> kept = rank.Everything();
    Rank::Part broken = rank.Micro(before, 1);
    broken.micro[0].images[0].fill_(std::numeric_limits<double>::quiet_NaN());
    const Rank::Part next = rank.Micro(before, 1);
    const LateReport refused = rank.step.Enqueue(Rank::InputOf(broken, before));
    ExpectEqual(rank.Everything(), kept);
    const LateReport applied = rank.step.Enqueue(Rank::InputOf(next, before));
    EXPECT_FALSE(refused().applied);
    EXPECT_FALSE(refused().scale_shrank);
    EXPECT_TRUE(applied().applied);
    whole.Run(before);
    ExpectEqual(rank.Everything(), whole.Everything());
  }
}

TEST_F(LateStep, ARefusalPutsRunningStatisticsBack) {
  const auto comm = WorldOfOne();
  Rank rank = OnDevice("fastclip_v1", *comm, {}, "fp64", ThinResNet());
  rank.table.MoveTo(kDevice);
  rank.Run(0);
  const std::vector<at::Tensor> kept = rank.Everything();
  Rank::Part broken = rank.Micro(1, 1);
  broken.micro[0].images[0].fill_(std::numeric_limits<double>::infinity());
  EXPECT_FALSE(rank.step.Run(Rank::InputOf(broken, 1)).applied);
  ExpectEqual(rank.Everything(), kept);
}

TEST_F(LateStep, AnOverflowHalvesTheScaleBeforeTheNextStep) {
  const auto comm = WorldOfOne();
  Rank rank = OnDevice("fastclip_v3", *comm, {}, "amp");
  rank.table.MoveTo(kDevice);
  rank.Run(0);
  rank.step.scaler().Set({.scale = 0x1p100, .good_steps = 1});
  const Rank::Part rows = rank.Micro(1, 1);
  const std::vector<at::Tensor> kept = rank.Everything();
  stand_in::ResetCounts();
  const LateReport first = rank.step.Enqueue(Rank::InputOf(rows, 1)),
                   second = rank.step.Enqueue(Rank::InputOf(rows, 1));
  EXPECT_EQ(stand_in::counts().host_reads, 0);
  EXPECT_TRUE(first().scale_shrank);
  EXPECT_TRUE(second().scale_shrank);
  EXPECT_EQ(rank.step.scaler().state().scale, 0x1p98);
  EXPECT_EQ(rank.step.scaler().state().good_steps, 0);
  ExpectEqual(rank.Everything(), kept);
}

TEST_F(LateStep, ALearningRateThatReadsTheTemperatureStaysOnTheDevice) {
  const auto comm = WorldOfOne();
  for (const char* name : {"adamw", "lamb", "lion", "sgdm"}) {
    Rank cpu("fastclip_v3", {kLanes}, *comm, 0, "fp64", {}, at::kCPU, {.name = name});
    Rank device = OnDevice("fastclip_v3", *comm, {.name = name});
    device.table.MoveTo(kDevice);
    const Rank::Part on_cpu = cpu.Micro(0, 1), on_device = device.Micro(0, 1);
    StepInput input = Rank::InputOf(on_cpu, 0);
    input.rates.tau = 0.25;
    const StepReport expected = cpu.step.Run(input);
    input = Rank::InputOf(on_device, 0);
    input.rates.tau_on_device = at::full({}, 0.25F, at::TensorOptions(kDevice));
    stand_in::ResetCounts();
    const LateReport late = device.step.Enqueue(input);
    EXPECT_EQ(stand_in::counts().host_reads, 0);
    const StepReport report = late();
    EXPECT_EQ(report.lr_tau, 0.25);
    EXPECT_NEAR(report.logit_scale, expected.logit_scale, 1e-6) << name;
  }
}

/// Two ranks whose collectives stay open until they are polled, as where a rank is lost: what waits
/// for one meanwhile throws.
class LostRank : public LateStep {
 protected:
  static void RunTwo(const std::vector<std::int64_t>& cut, const std::optional<ModelConfig>& model,
                     const std::function<void(Rank&, Communicator&)>& body) {
    RunRanks(2, [&](Communicator& ranks) {
      OpenCalls comm(ranks);
      Rank rank("fastclip_v2", cut, comm, 0.5, "fp64", model, stand_in::Device(comm.rank()));
      body(rank, comm);
    });
  }
};

TEST_F(LostRank, HoldsUpNoStepWithItsStateInHostMemory) {
  RunTwo({4, 4}, {}, [](Rank& rank, Communicator&) {
    for (std::int64_t step = 0; step < 2; ++step) rank.Run(step, /*parts=*/2);
  });
}

TEST_F(LostRank, HoldsUpNoBatchNormOfOneRow) {
  RunTwo({7, 1}, ThinResNet(), [](Rank& rank, Communicator& comm) {
    rank.model.SyncBatchNormOver(comm);
    for (std::int64_t step = 0; step < 2; ++step) rank.Run(step);
  });
}

TEST_F(LostRank, HoldsUpNoMeasurementOfColumns) {
  RunTwo({5, 3}, {}, [](Rank& rank, Communicator& comm) {
    ColumnCalibration calibration(rank.model, rank.step, comm, CalibrationNeed::kGradients, {});
    for (std::int64_t batch = 0; batch < 2; ++batch) {
      const Rank::Part rows = rank.Micro(batch, 1);
      calibration.Add(Rank::InputOf(rows, batch));
    }
    for (const auto& [site, of] : calibration.Finish()) {
      EXPECT_GT(of.activation.sum().item<double>(), 0) << site;
      EXPECT_GT(of.gradient.sum().item<double>(), 0) << site;
    }
  });
}

// As many blocks as ViT-B/32 has: the number of launches does not depend on widths.
TEST_F(LateStep, OfAViTB32LaunchesFewKernels) {
  ModelConfig model = ThinModel("fastclip_v3");
  model.vision.layers = model.text.layers = 12;
  const auto comm = WorldOfOne();
  for (const auto& [precision, most] : {std::pair("fp32", 1300), std::pair("amp_bf16", 1700)}) {
    Rank rank = OnDevice("fastclip_v3", *comm, {}, precision, model);
    rank.table.MoveTo(kDevice);
    const Rank::Part rows = rank.Micro(0, 1);
    rank.step.Run(Rank::InputOf(rows, 0));
    stand_in::ResetCounts();
    rank.step.Run(Rank::InputOf(rows, 0));
    std::printf("%s: %ld kernels a step\n", precision, static_cast<long>(stand_in::counts().ops));
    EXPECT_LE(stand_in::counts().ops, most) << precision;
    if (HasFailure()) {
      for (const auto& [name, count] : stand_in::OpsByName()) {
        std::printf("%6ld %s\n", static_cast<long>(count), name.c_str());
      }
    }
  }
}

}  // namespace
}  // namespace fastclip
