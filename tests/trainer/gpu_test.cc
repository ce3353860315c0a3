// The machine's NVIDIA GPUs: the checks of device_test.cc on them, NCCL, and the kernels of
// attention. Without a GPU every test is skipped.

#include <ATen/ATen.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "comm/c10d_communicator.h"
#include "comm/cuda_library.h"
#include "tests/trainer/device_under_test.h"
#include "tests/trainer/step_rank.h"
#include "trainer/base/kernels.h"

namespace fastclip {
namespace device_under_test {

std::string Open() {
  // As the program: loaded before LibTorch is asked anything.
  static const std::string lack = []() -> std::string {
    try {
      LoadCuda();
      UseCudaDevice(0);
      return "";
    } catch (const std::runtime_error& error) {
      if (LoadedCuda() == nullptr) throw;
      return std::string("no GPU: ") + error.what();
    }
  }();
  return lack;
}
int count() { return c10::impl::VirtualGuardImpl(c10::kCUDA).deviceCount(); }
c10::Device Device(int index) { return {c10::kCUDA, static_cast<c10::DeviceIndex>(index)}; }
c10::Allocator& PinnedMemory() { return *at::detail::getCUDAHooks().getPinnedMemoryAllocator(); }
double repeat_tolerance() { return 1e-5; }
void ResetHostWaits() {}
std::optional<HostWaits> host_waits() { return {}; }

}  // namespace device_under_test

namespace {

using namespace std::chrono_literals;

class Gpu : public testing::Test {
 protected:
  void SetUp() override {
    const std::string lack = device_under_test::Open();
    if (!lack.empty()) GTEST_SKIP() << lack;
  }
  void TearDown() override { UseKernels({}); }

  at::Device device_ = device_under_test::Device();
};

double LargestDifference(const at::Tensor& one, const at::Tensor& other) {
  return (one.to(at::kDouble) - other.to(at::kDouble)).abs().max().item<double>();
}

TEST_F(Gpu, KeepsAllBitsOfFloat32WithoutTf32) {
  UseKernels({.tf32 = false});
  const at::Tensor x = at::randn({512, 512}, at::TensorOptions(device_));
  const at::Tensor exact = x.to(at::kDouble).matmul(x.to(at::kDouble));
  EXPECT_LT(LargestDifference(x.matmul(x), exact), 1e-4);
}

TEST_F(Gpu, OfOneRankConnectsOverNccl) {
  setenv("GLOO_SOCKET_IFNAME", "lo", 1);
  const auto store = MakeLocalStore();
  const auto comm = ConnectRanks(
      *store, {.prefix = "gpu", .rank = 0, .world_size = 1, .timeout = 30s, .cuda_device = 0});
  const at::Tensor rows = at::arange(6, at::TensorOptions(device_).dtype(at::kFloat)).view({3, 2});
  const std::vector<std::int64_t> cut = {3};
  EXPECT_TRUE(comm->AllGather(rows, cut).equal(rows));
  at::Tensor sum = rows.clone(), late = rows.clone(), sent = rows.clone();
  comm->AllReduceSum(sum);
  comm->StartAllReduceSum(late)->Wait();
  comm->Broadcast(sent, 0);
  const at::Tensor part = comm->ReduceScatterSum(rows);
  comm->CallsSoFar()->Wait();
  for (const at::Tensor& same : {sum, late, sent, part}) EXPECT_TRUE(same.equal(rows));
  comm->Barrier();
  comm->Shutdown();
}

TEST_F(Gpu, StepOverNcclEqualsTheStepOfOne) {
  setenv("GLOO_SOCKET_IFNAME", "lo", 1);
  const auto store = MakeLocalStore();
  const auto nccl = ConnectRanks(
      *store, {.prefix = "step", .rank = 0, .world_size = 1, .timeout = 30s, .cuda_device = 0});
  const auto alone = WorldOfOne();
  Rank connected("fastclip_v3", {kLanes}, *nccl, 0.5, "fp64", {}, device_);
  Rank single("fastclip_v3", {kLanes}, *alone, 0.5, "fp64", {}, device_);
  for (std::int64_t step = 0; step < 3; ++step) {
    EXPECT_NEAR(connected.Run(step).loss, single.Run(step).loss, 1e-9);
  }
  nccl->Barrier();
  nccl->Shutdown();
}

/// A step whose numbers change.
StepReport RunWithRates(Rank& rank, std::int64_t step) {
  const Rank::Part rows = rank.Micro(step, 1);
  StepInput input = Rank::InputOf(rows, step);
  input.gamma = step < 2 ? 1 : 1 - 0.06 * static_cast<double>(step);
  input.rates.model = 0x1p-10 * static_cast<double>(1 + step);
  input.rates.tau = 0x1p-9;
  return rank.step.Run(input);
}

class GpuGraphs
    : public Gpu,
      public testing::WithParamInterface<std::tuple<const char*, const char*, const char*>> {};
INSTANTIATE_TEST_SUITE_P(Steps, GpuGraphs,
                         testing::Combine(testing::Values("fastclip_v1", "fastclip_v2",
                                                          "fastclip_v3", "openclip", "siglip"),
                                          testing::Values("adamw", "lamb", "lion", "sgdm"),
                                          testing::Values("fp64", "amp_bf16", "amp")));

TEST_P(GpuGraphs, OfRecordedStepsEqualTheStepsThatAreNot) {
  const auto [objective, optimizer, precision] = GetParam();
  UseKernels({.tf32 = false});
  const auto comm = WorldOfOne();
  const OptimizerOptions options{.name = optimizer};
  Rank plain(objective, {kLanes}, *comm, 0.5, precision, {}, device_, options);
  Rank recorded(objective, {kLanes}, *comm, 0.5, precision, {}, device_, options, true);
  for (Rank* rank : {&plain, &recorded}) rank->table.MoveTo(device_);
  // In half precision the order of sums that atomics add in shows.
  const double tolerance = precision == std::string("fp64") ? 1e-9 : 0.02;
  for (std::int64_t step = 0; step < RecordedStep::kWarmUp + 6; ++step) {
    const StepReport expected = RunWithRates(plain, step), report = RunWithRates(recorded, step);
    EXPECT_NEAR(report.loss, expected.loss, tolerance * (1 + std::abs(expected.loss))) << step;
    EXPECT_EQ(report.applied, expected.applied) << step;
  }
  if (precision == std::string("fp64") && optimizer != std::string("lion")) {
    EXPECT_TRUE(at::allclose(recorded.Weights(), plain.Weights(), 0, 1e-8));
  }
}

TEST_F(Gpu, RecordedStepsOfAResNetEqualTheOthers) {
  const auto comm = WorldOfOne();
  Rank plain("fastclip_v3", {kLanes}, *comm, 0, "fp64", ThinResNet(), device_);
  Rank recorded("fastclip_v3", {kLanes}, *comm, 0, "fp64", ThinResNet(), device_, {}, true);
  for (Rank* rank : {&plain, &recorded}) rank->table.MoveTo(device_);
  for (std::int64_t step = 0; step < RecordedStep::kWarmUp + 4; ++step) {
    EXPECT_NEAR(RunWithRates(recorded, step).loss, RunWithRates(plain, step).loss, 1e-8);
  }
}

struct Attended {
  at::Tensor out, dq, dk, dv;
};

/// Of q, k, v [b, heads, n, d] and the gradient of the result.
Attended Attend(const std::vector<at::Tensor>& inputs, const at::Tensor& gradient, bool causal) {
  std::vector<at::Tensor> leaves;
  for (const at::Tensor& input : inputs)
    leaves.push_back(input.detach().clone().requires_grad_(true));
  const at::Tensor out =
      at::scaled_dot_product_attention(leaves[0], leaves[1], leaves[2], {}, 0, causal);
  out.backward(gradient.to(out.scalar_type()));
  return {out.detach(), leaves[0].grad(), leaves[1].grad(), leaves[2].grad()};
}

/// The largest difference of each part, relative to the part's largest value; NaN counts as 1e9.
double RelativeError(const Attended& got, const Attended& exact) {
  double worst = 0;
  for (const auto part : {&Attended::out, &Attended::dq, &Attended::dk, &Attended::dv}) {
    const double scale = (exact.*part).abs().max().item<double>();
    const double apart = LargestDifference(got.*part, exact.*part);
    worst = std::max(worst, std::isfinite(apart) ? apart / std::max(scale, 1e-3) : 1e9);
  }
  return worst;
}

/// The inputs of ViT-B/32, ViT-B/16, text of 64, 77 and 128 ids.
class Attention
    : public Gpu,
      public testing::WithParamInterface<std::tuple<const char*, at::ScalarType, std::int64_t>> {
 protected:
  std::string kernel() const { return std::get<0>(GetParam()); }

  /// `shift`: all scores are about -300, so that log-sum-exp is far below zero. None if the kernel
  /// cannot do it.
  std::optional<double> ErrorOf(std::int64_t queries, bool causal, bool shift) {
    const auto [name, dtype, keys] = GetParam();
    at::manual_seed(1);
    const auto options = at::TensorOptions(device_).dtype(dtype);
    const auto draw = [&](std::int64_t n) { return at::randn({4, 8, n, 64}, options); };
    std::vector<at::Tensor> inputs = {draw(queries), draw(keys), draw(keys)};
    if (shift) {
      // q · k / 8 is about -300, in all dimensions alike.
      inputs[0].mul_(0.3).add_(6);
      inputs[1].mul_(0.3).sub_(6);
    }
    const at::Tensor gradient = draw(queries);
    std::vector<at::Tensor> wide;
    for (const at::Tensor& input : inputs) wide.push_back(input.to(at::kDouble));
    UseKernels({.tf32 = false, .attention = "math"});
    const Attended exact = Attend(wide, gradient, causal);
    UseKernels({.tf32 = false, .attention = name});
    try {
      return RelativeError(Attend(inputs, gradient, causal), exact);
    } catch (const c10::Error& error) {
      lack_ = error.what_without_backtrace();
      if (lack_.find("No available kernel") == lack_.npos &&
          lack_.find("No viable") == lack_.npos) {
        throw;
      }
      return {};
    }
  }
  double tolerance() const { return std::get<1>(GetParam()) == at::kHalf ? 0.01 : 0.04; }

  std::string lack_;
};
INSTANTIATE_TEST_SUITE_P(Kernels, Attention,
                         testing::Combine(testing::Values("flash", "mem_efficient", "cudnn",
                                                          "math"),
                                          testing::Values(at::kBFloat16, at::kHalf),
                                          testing::Values(50, 64, 77, 128, 197)),
                         [](const auto& named) {
                           return std::string(std::get<0>(named.param)) +
                                  (std::get<1>(named.param) == at::kHalf ? "_half_"
                                                                         : "_bfloat16_") +
                                  std::to_string(std::get<2>(named.param));
                         });

TEST_P(Attention, OfAllQueriesEqualsMath) {
  const std::int64_t keys = std::get<2>(GetParam());
  for (const bool causal : {false, true}) {
    const auto error = ErrorOf(keys, causal, /*shift=*/false);
    if (!error) GTEST_SKIP() << "this GPU has no such kernel: " << lack_;
    EXPECT_LT(*error, tolerance()) << (causal ? "causal" : "not causal");
  }
}

TEST_P(Attention, WithStronglyNegativeLogSumExpEqualsMath) {
  const std::int64_t keys = std::get<2>(GetParam());
  const auto error = ErrorOf(keys, /*causal=*/false, /*shift=*/true);
  if (!error) GTEST_SKIP() << "this GPU has no such kernel: " << lack_;
  EXPECT_LT(*error, 2 * tolerance());
}

TEST_P(Attention, OfOneQueryEqualsMath) {
  for (const bool shift : {false, true}) {
    const auto error = ErrorOf(/*queries=*/1, /*causal=*/false, shift);
    if (!error) GTEST_SKIP() << "this GPU has no such kernel: " << lack_;
    if (kernel() == "cudnn" && *error >= 2 * tolerance()) {
      GTEST_SKIP() << "cuDNN's attention of one query is wrong here (relative error " << *error
                   << "); FastCLIP does not use it for one query";
    }
    EXPECT_LT(*error, 2 * tolerance()) << (shift ? "shifted" : "");
  }
}

}  // namespace
}  // namespace fastclip
