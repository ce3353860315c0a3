#include "trainer/step/activation_bytes.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <c10/util/ThreadLocalDebugInfo.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "trainer/step/live_bytes.h"

namespace fastclip {
namespace {

ModelConfig SmallViT(std::int64_t layers, std::int64_t side) {
  ModelConfig model;
  model.embed_dim = 24;
  model.vision = {
      .image_size = 8 * side, .patch_size = 8, .width = 48, .layers = layers, .head_width = 16};
  model.text = {.context_length = 29, .vocab_size = 50, .width = 32, .heads = 2, .layers = layers};
  return model;
}

ModelConfig SmallResNet() {
  ModelConfig model = SmallViT(2, 1);
  model.vision = {.image_size = 160, .width = 8, .head_width = 32, .resnet_layers = {1, 2, 3, 1}};
  return model;
}

/// Of the cut towers, and of the whole ones.
void ExpectEqualCounts(const ModelConfig& model, const LockOptions& lock, const char* precision,
                       bool grad_checkpointing) {
  const Precision types = PrecisionOf(precision);
  ClipModel whole(model, /*seed=*/1, /*init_temperature=*/0.07, types.parameters, lock);
  whole.set_grad_checkpointing(grad_checkpointing);
  const auto autocast = types.autocast ? std::optional(at::kBFloat16) : std::nullopt;
  EXPECT_EQ(ActivationBytesPerRow(model, lock, types, grad_checkpointing),
            ActivationBytesPerRow(whole, autocast))
      << precision << ", checkpointing " << grad_checkpointing << ", layers " << model.vision.layers
      << ", locked " << lock.image << " " << lock.image_unlocked_groups << ", " << lock.text << " "
      << lock.text_unlocked_layers;
}

TEST(ActivationBytes, OfCutTowersAreThoseOfWholeOnes) {
  for (const char* precision : {"fp32", "fp64", "amp_bf16", "amp"}) {
    for (const bool grad_checkpointing : {false, true}) {
      for (const auto& [layers, side] : {std::pair{1, 3}, {2, 6}, {3, 4}, {6, 7}}) {
        ExpectEqualCounts(SmallViT(layers, side), {}, precision, grad_checkpointing);
      }
      ExpectEqualCounts(SmallResNet(), {}, precision, grad_checkpointing);
    }
  }
}

TEST(ActivationBytes, AreOfTheLearningBlocksWhereTowersAreLocked) {
  constexpr std::int64_t kLayers = 6;
  for (std::int64_t groups = 0; groups <= kLayers + 2; ++groups) {
    ExpectEqualCounts(SmallViT(kLayers, 5), {.image = true, .image_unlocked_groups = groups},
                      "fp32", false);
    ExpectEqualCounts(SmallViT(kLayers, 5), {.text = true, .text_unlocked_layers = groups}, "fp32",
                      true);
  }
  ExpectEqualCounts(SmallResNet(), {.image = true}, "fp32", false);
  ExpectEqualCounts(SmallResNet(), {.image = true, .image_freeze_bn_stats = true}, "fp32", false);
}

TEST(ActivationBytes, OfAGpuIncludeTheNormsThatItsAutocastWidens) {
  const auto count = [](const char* precision, bool on_gpu) {
    return ActivationBytesPerRow(SmallViT(3, 4), {}, PrecisionOf(precision), false, on_gpu);
  };
  EXPECT_EQ(count("fp32", true), count("fp32", false));
  // A norm's input is bfloat16 from the second of each block on; the class token's and those of
  // the positions are float32.
  const std::int64_t wider = count("amp_bf16", true) - count("amp_bf16", false);
  EXPECT_GE(wider, 0);
  EXPECT_EQ(wider % 2, 0);
  EXPECT_GE(count("amp", true), count("amp_bf16", true));
  EXPECT_GT(count("amp", true), count("amp", false));
}

/// The most bytes of tensors that `pass(rows)` takes, for each further row.
template <class Pass>
double PeakPerRow(const Pass& pass) {
  const auto peak = [&](std::int64_t rows) {
    const at::NoGradGuard no_grad;
    const auto live = std::make_shared<LiveBytes>();
    const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, live);
    pass(rows);
    return live->peak();
  };
  return static_cast<double>(peak(48) - peak(16)) / 32;
}

TEST(ActivationBytes, OfAnEvaluationAreAboutTheMostThatAPassTakesAtOnce) {
  ModelConfig vit = SmallViT(6, 7), text = SmallViT(6, 2), resnet = SmallResNet();
  vit.vision.width = 128;
  text.text.width = 256;
  resnet.vision.width = 32;
  for (const ModelConfig& model : {vit, text, resnet}) {
    const ClipModel whole(model, /*seed=*/1, /*init_temperature=*/0.07, at::kFloat);
    const std::int64_t size = model.vision.image_size, n = model.text.context_length;
    const double image = PeakPerRow([&](std::int64_t rows) {
      whole.EncodeImage(
          at::zeros({rows, 3, size, size}).contiguous(at::MemoryFormat::ChannelsLast));
    });
    const double caption = PeakPerRow([&](std::int64_t rows) {
      whole.EncodeText(at::zeros({rows, n}, at::kLong), at::full({rows}, n - 1, at::kLong));
    });
    EXPECT_EQ(caption > image, model.text.width == 256) << "the larger one counts";
    const auto counted = static_cast<double>(EvaluationBytesPerRow(model, at::kFloat));
    EXPECT_NEAR(counted / std::max(image, caption), 1, 0.3)
        << counted << " for " << image << " and " << caption;
    EXPECT_LT(counted, ActivationBytesPerRow(model, {}, PrecisionOf("fp32"), false));
  }
}

TEST(ActivationBytes, NeedNoMemoryForAModelThatIsOnlyCounted) {
  const ModelConfig model = SmallViT(2, 4);
  const ClipModel shapes(model, 1, 0.07, at::kFloat, {}, at::kMeta);
  const ClipModel whole(model, 1, 0.07, at::kFloat);
  ASSERT_EQ(shapes.parameters().size(), whole.parameters().size());
  for (std::size_t i = 0; i < whole.parameters().size(); ++i) {
    const auto& [name, tensor] = shapes.parameters()[i];
    EXPECT_EQ(name, whole.parameters()[i].first);
    EXPECT_EQ(tensor.sizes(), whole.parameters()[i].second.sizes()) << name;
    EXPECT_TRUE(tensor.is_meta());
  }
}

}  // namespace
}  // namespace fastclip
