#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "tests/trainer/device_under_test.h"
#include "tests/trainer/step_rank.h"
#include "trainer/base/kernels.h"

namespace fastclip {

namespace under_test = device_under_test;

/// Compares the device under test with the CPU.
class OnDevice : public testing::Test {
 protected:
  void SetUp() override {
    const std::string lack = under_test::Open();
    if (!lack.empty()) GTEST_SKIP() << lack;
    UseKernels({.tf32 = false});  // the CPU's float32 products have all of their bits
    under_test::ResetHostWaits();
  }
  void TearDown() override { UseKernels({}); }

  at::Device device_ = under_test::Device();
};

/// Where the device counts what the host waits for.
inline void ExpectHostWaits(std::int64_t reads, std::optional<std::int64_t> late_copies = {}) {
  const auto waits = under_test::host_waits();
  if (!waits) return;
  EXPECT_EQ(waits->reads, reads);
  EXPECT_EQ(waits->blocking_copies, 0);
  EXPECT_EQ(waits->late_copies, late_copies.value_or(waits->late_copies));
}

/// Three steps of each, by `run`, and what they leave. `some`: the fraction of weights that may
/// differ.
inline void ExpectSameSteps(Rank& cpu, Rank& device,
                            const std::function<StepReport(Rank&, std::int64_t step)>& run,
                            double tolerance = 1e-9, double some = 0) {
  for (std::int64_t step = 0; step < 3; ++step) {
    const StepReport expected = run(cpu, step), report = run(device, step);
    EXPECT_NEAR(report.loss, expected.loss, tolerance * std::abs(expected.loss));
    EXPECT_NEAR(report.gradient_norm, expected.gradient_norm,
                10 * tolerance * expected.gradient_norm);
    EXPECT_EQ(report.first_visits, expected.first_visits);
  }
  const at::Tensor apart = (device.Weights() - cpu.Weights()).abs();
  EXPECT_LE(apart.gt(tolerance).to(at::kDouble).mean().item<double>(), some) << apart.max();
  EXPECT_TRUE(at::allclose(device.table.values().cpu(), cpu.table.values(), tolerance, tolerance));
}

inline void ExpectSameSteps(Rank& cpu, Rank& device, std::int64_t parts = 1,
                            double tolerance = 1e-9, double some = 0) {
  ExpectSameSteps(
      cpu, device, [&](Rank& rank, std::int64_t step) { return rank.Run(step, parts); }, tolerance,
      some);
}

}  // namespace fastclip
