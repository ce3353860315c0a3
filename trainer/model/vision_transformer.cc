#include "trainer/model/vision_transformer.h"

#include <ATen/ATen.h>

#include <cmath>
#include <stdexcept>

namespace fastclip {
namespace {

double ScaleOf(const VisionConfig& config) {
  return 1 / std::sqrt(static_cast<double>(config.width));
}

TransformerOptions OptionsOf(const ModelConfig& config) {
  const VisionConfig& vision = config.vision;
  const BlockShape block{.heads = vision.width / vision.head_width,
                         .qk_dim = vision.head_width,
                         .v_dim = vision.head_width,
                         .ffn = static_cast<std::int64_t>(vision.width * vision.mlp_ratio)};
  return {.tower = Tower::kImage,
          .width = vision.width,
          .blocks = std::vector(static_cast<std::size_t>(vision.layers), block),
          .quick_gelu = config.quick_gelu,
          .causal = false,
          .start = BlockStart::kTorchDefault};
}

}  // namespace

VisionTransformer::VisionTransformer(FreshWeights& weights, const ModelConfig& config)
    : config_(config.vision),
      class_embedding_(weights.At(Tower::kImage, kEmbeddings)
                           .Normal("visual.class_embedding", {config_.width}, ScaleOf(config_),
                                   Role::kEmbedding)),
      positional_embedding_(weights.Normal("visual.positional_embedding",
                                           {config_.patches() + 1, config_.width}, ScaleOf(config_),
                                           Role::kEmbedding)),
      proj_(weights.At(Tower::kImage, ProjectionPart(config_.layers))
                .Normal("visual.proj", {config_.width, config.embed_dim}, ScaleOf(config_),
                        Role::kHead)),
      conv1_weight_(weights.At(Tower::kImage, kEmbeddings)
                        .Uniform("visual.conv1.weight",
                                 {config_.width, 3, config_.patch_size, config_.patch_size},
                                 1 / std::sqrt(3.0 * static_cast<double>(config_.patch_size *
                                                                         config_.patch_size)))),
      ln_pre_(weights, "visual.ln_pre", config_.width),
      transformer_(weights, "visual.transformer", OptionsOf(config)),
      ln_post_(weights.At(Tower::kImage, BlockPart(config_.layers - 1)), "visual.ln_post",
               config_.width) {}

// A convolution whose stride is its size is one matrix product. Colours innermost: rows of a patch
// lie together in what the loader delivers.
at::Tensor VisionTransformer::EmbedPatches(const at::Tensor& images, const at::Tensor& kept) const {
  const std::int64_t patch = config_.patch_size, side = config_.image_size / patch;
  const std::int64_t batch = images.size(0), places = side * side;
  at::Tensor patches = images.view({batch, 3, side, patch, side, patch})
                           .permute({0, 2, 4, 3, 5, 1})
                           .reshape({-1, patch * patch * 3});  // [b · side², patch² · 3]
  if (kept.defined()) {
    const at::Tensor first = at::arange(batch, kept.options()).mul_(places).unsqueeze(1);
    patches = patches.index_select(0, (kept + first).view(-1));
  }
  const at::Tensor kernel = conv1_weight_.permute({0, 2, 3, 1}).reshape({config_.width, -1});
  return at::linear(patches, kernel).view({batch, -1, config_.width});
}

at::Tensor VisionTransformer::Forward(const at::Tensor& images, const at::Tensor& kept) const {
  return at::mm(Pooled(images, kept), proj_);
}

at::Tensor VisionTransformer::Pooled(const at::Tensor& images, const at::Tensor& kept) const {
  const std::int64_t batch = images.size(0);
  const at::Tensor start =
      class_embedding_.view({1, 1, config_.width}).expand({batch, 1, config_.width});
  // The class token is place 0 and always kept. An embedding's gradient adds up in one order.
  const at::Tensor places =
      kept.defined() ? at::embedding(positional_embedding_, at::constant_pad_nd(kept + 1, {1, 0}))
                     : positional_embedding_;  // [b, k + 1, width] or [side² + 1, width]
  const at::Tensor x =
      at::cat({start, EmbedPatches(images, kept)}, 1).add_(places).view({-1, config_.width});
  const at::Tensor pool = at::zeros({batch}, images.options().dtype(at::kLong));
  const at::Tensor stream = residual_fp32_ ? ln_pre_.Whole(x) : ln_pre_(x);
  return ln_post_(transformer_.Forward(stream, {{batch, x.size(0) / batch}}, pool));
}

}  // namespace fastclip
