// How far the towers' features under autocast are from those in float64.

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include "trainer/model/attention.h"
#include "trainer/model/autocast.h"

namespace fastclip {
namespace {

double Apart(const at::Tensor& a, const at::Tensor& exact) {
  return ((a.to(at::kDouble) - exact).norm() / exact.norm()).item<double>();
}

TEST(LayerNorm, UnderAutocastHasFloatStatisticsAndTheLowPrecisionsResult) {
  FreshWeights weights(1, at::kFloat);
  const LayerNorm norm(weights, "ln", 512);
  const at::NoGradGuard no_grad;
  const at::Tensor spread = at::linspace(-2, 2, 4 * 512, at::kFloat).sin().view({4, 512});
  for (const at::ScalarType low : {at::kBFloat16, at::kHalf}) {
    const double ulp = low == at::kBFloat16 ? 1.0 / 256 : 1.0 / 2048;
    for (const at::ScalarType type : {at::kFloat, low}) {
      // A mean of 30 deviations: statistics in the low precision would be off by many units.
      const at::Tensor x = (spread + 20).to(type);
      const at::Tensor exact = at::layer_norm(x.to(at::kDouble), {512});
      const AutocastGuard autocast(at::kCPU, low);
      const at::Tensor y = norm(x);
      EXPECT_EQ(y.scalar_type(), low);
      EXPECT_LE(Apart(y, exact), ulp) << low << " of " << type;
    }
    EXPECT_TRUE(at::allclose(norm(spread), at::layer_norm(spread, {512}), 0, 1e-6));
  }
}

}  // namespace
}  // namespace fastclip
