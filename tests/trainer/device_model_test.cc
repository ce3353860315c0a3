// Steps of models with settings of their own, on a device that is not the CPU:
// tests/trainer/on_device.h.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <span>
#include <vector>

#include "tests/support/thread_communicator.h"
#include "tests/trainer/on_device.h"
#include "trainer/step/batch_tensors.h"

namespace fastclip {
namespace {

/// Blocks enough that a tower can be locked in part.
ModelConfig TwoBlocks() {
  ModelConfig config = ThinModel("fastclip_v3");
  config.vision.layers = config.text.layers = 2;
  return config;
}

TEST_F(OnDevice, StepOfLockedTowersEqualsTheCpus) {
  const LockOptions image{.image = true}, text{.text = true},
      parts{.image = true, .image_unlocked_groups = 2, .text = true, .text_unlocked_layers = 1};
  const auto comm = WorldOfOne();
  for (const LockOptions& lock : {image, text, parts}) {
    Rank cpu("fastclip_v3", {kLanes}, *comm, 0.5, "fp64", TwoBlocks(), at::kCPU, {}, false, lock);
    Rank device("fastclip_v3", {kLanes}, *comm, 0.5, "fp64", TwoBlocks(), device_, {}, false, lock);
    ASSERT_LT(device.model.trainable().size(), device.model.parameters().size());
    device.table.MoveTo(device_);
    ExpectSameSteps(cpu, device);
    ExpectSameSteps(cpu, device, /*parts=*/2);
    const Rank::Part rows = device.Micro(3, 1);
    under_test::ResetHostWaits();
    device.RunOn(rows, 3);
    ExpectHostWaits(1);
  }
}

TEST_F(OnDevice, StepWithPatchDropoutEqualsTheCpus) {
  const auto comm = WorldOfOne();
  Rank cpu("fastclip_v3", {kLanes}, *comm, 0, "fp64", TwoBlocks());
  Rank device("fastclip_v3", {kLanes}, *comm, 0, "fp64", TwoBlocks(), device_);
  device.table.MoveTo(device_);
  const auto rows_of = [](const Rank& rank, std::int64_t step) {
    const PatchDropout half{.share = 0.5, .patches = 4, .seed = 1};
    Rank::Part part = rank.Micro(step, /*parts=*/2);
    const std::size_t each = part.indices.size() / 2;
    for (std::size_t i = 0; i < 2; ++i) {
      part.micro[i].kept_patches =
          KeptPatches(std::span(part.indices).subspan(i * each, each), step, half).to(rank.device);
      EXPECT_EQ(part.micro[i].kept_patches.size(1), 2);
    }
    return part;
  };
  ExpectSameSteps(cpu, device, [&](Rank& rank, std::int64_t step) {
    return rank.RunOn(rows_of(rank, step), step);
  });
  const Rank::Part rows = rows_of(device, 3);
  under_test::ResetHostWaits();
  device.RunOn(rows, 3);
  ExpectHostWaits(1);
}

TEST_F(OnDevice, StepWithActivationCheckpointingEqualsTheCpusWithout) {
  const auto comm = WorldOfOne();
  Rank cpu("fastclip_v3", {kLanes}, *comm, 0, "fp64", TwoBlocks());
  Rank device("fastclip_v3", {kLanes}, *comm, 0, "fp64", TwoBlocks(), device_);
  device.model.set_grad_checkpointing(true);
  device.table.MoveTo(device_);
  ExpectSameSteps(cpu, device);
  ExpectSameSteps(cpu, device, /*parts=*/2);
  const Rank::Part rows = device.Micro(3, 1);
  under_test::ResetHostWaits();
  device.RunOn(rows, 3);
  ExpectHostWaits(1);
}

// What is computed again is in the lower precision, as it was at first.
TEST_F(OnDevice, StepInHalfPrecisionIsTheSameWithActivationCheckpointing) {
  const auto comm = WorldOfOne();
  Rank kept("fastclip_v3", {kLanes}, *comm, 0, "amp_bf16", TwoBlocks(), device_);
  Rank again("fastclip_v3", {kLanes}, *comm, 0, "amp_bf16", TwoBlocks(), device_);
  again.model.set_grad_checkpointing(true);
  const StepReport expected = kept.Run(0), report = again.Run(0);
  const double apart = under_test::repeat_tolerance();
  EXPECT_NEAR(report.loss, expected.loss, apart);
  EXPECT_NEAR(report.gradient_norm, expected.gradient_norm, apart * expected.gradient_norm);
}

TEST_F(OnDevice, StepOfAResNetWithStatisticsOfTwoRanksEqualsTheCpus) {
  // Ranks that are threads need a device each: backward passes of one run in one thread.
  if (under_test::count() < 2) GTEST_SKIP() << "one device only";
  RunRanks(2, [&](Communicator& comm) {
    const std::vector<std::int64_t> cut = {5, 3};
    Rank cpu("fastclip_v3", cut, comm, 0, "fp64", ThinResNet());
    Rank device("fastclip_v3", cut, comm, 0, "fp64", ThinResNet(), under_test::Device(comm.rank()));
    for (Rank* rank : {&cpu, &device}) rank->model.SyncBatchNormOver(comm);
    ExpectSameSteps(cpu, device);
    for (std::size_t i = 0; i < cpu.model.buffers().size(); ++i) {
      const auto& [name, expected] = cpu.model.buffers()[i];
      EXPECT_TRUE(at::allclose(device.model.buffers()[i].second.cpu(), expected, 1e-9, 1e-9))
          << name;
    }
  });
}

}  // namespace
}  // namespace fastclip
