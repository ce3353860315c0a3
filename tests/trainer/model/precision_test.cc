// How far the towers' features under autocast are from those in float64.

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "trainer/model/attention.h"
#include "trainer/model/autocast.h"
#include "trainer/model/clip_model.h"
#include "trainer/objective/per_side.h"

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

/// Relative errors in bfloat16 of both towers' features: 12 blocks of width 192. `fp32`: residual
/// streams.
PerSide<double> Errors(bool fp32) {
  ModelConfig config;
  config.embed_dim = 192;
  config.vision = {
      .image_size = 64, .patch_size = 16, .width = 192, .layers = 12, .head_width = 64};
  config.text = {.context_length = 32, .vocab_size = 1000, .width = 192, .heads = 3, .layers = 12};
  ClipModel model(config, 3, 0.07, at::kFloat);
  model.set_residual_fp32(fp32, fp32);
  ClipModel exact(config, 3, 0.07, at::kDouble);
  exact.Load(model.parameters(), "model");
  constexpr std::int64_t kRows = 16;
  const at::Tensor images =
      at::linspace(0, 2000, kRows * 3 * 64 * 64, at::kDouble).sin().view({kRows, 3, 64, 64});
  const at::Tensor tokens =
      at::arange(kRows * 32, at::kLong).mul(7919).remainder(999).view({kRows, 32});
  const at::Tensor pool = at::arange(kRows, at::kLong).add(12);
  const at::NoGradGuard no_grad;
  const PerSide<at::Tensor> expected = {exact.EncodeImage(images), exact.EncodeText(tokens, pool)};
  const AutocastGuard autocast(at::kCPU, at::kBFloat16);
  return {Apart(model.EncodeImage(images.to(at::kFloat)), expected.image),
          Apart(model.EncodeText(tokens, pool), expected.text)};
}

TEST(Autocast, IsMoreExactWithResidualStreamsInFloat32) {
  const PerSide<double> fp32 = Errors(true), low = Errors(false);
  fmt::print("image {:.2e} with float32, {:.2e} without; text {:.2e}, {:.2e}\n", fp32.image,
             low.image, fp32.text, low.text);
  EXPECT_LT(fp32.image, 0.7 * low.image);
  EXPECT_LT(fp32.text, 0.9 * low.text);
  EXPECT_LT(low.image + low.text, 0.03);
}

}  // namespace
}  // namespace fastclip
