#include "trainer/model/modified_resnet.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cmath>

namespace fastclip {
namespace {

constexpr std::int64_t kExpansion = 4;  // channels a block gives, in planes

double OneOverRoot(std::int64_t n) { return 1 / std::sqrt(static_cast<double>(n)); }

Linear MakeLinear(FreshWeights& weights, const std::string& name, std::int64_t out, std::int64_t in,
                  Role role = Role::kMatrix) {
  return {name, weights.Normal(name + ".weight", {out, in}, OneOverRoot(in), role),
          weights.Uniform(name + ".bias", {out}, OneOverRoot(in), Role::kOffset)};
}

at::Tensor AveragePool(const at::Tensor& x, std::int64_t stride) {
  return stride == 1 ? x : at::avg_pool2d(x, {stride, stride});
}

}  // namespace

ModifiedResNet::ConvNorm::ConvNorm(FreshWeights& weights, const std::string& conv,
                                   const std::string& norm_name, std::int64_t out, std::int64_t in,
                                   std::int64_t kernel, double gain)
    : weight(weights.Uniform(conv + ".weight", {out, in, kernel, kernel},
                             OneOverRoot(in * kernel * kernel))),
      norm(weights, norm_name, out, gain) {}

at::Tensor ModifiedResNet::ConvNorm::operator()(const at::Tensor& x, const NormScope& scope,
                                                std::int64_t stride) const {
  const std::int64_t padding = weight.size(3) / 2;
  return norm(at::conv2d(x, weight, {}, {stride, stride}, {padding, padding}), scope);
}

// Members are made in the order of a state_dict. The last gain of a residual branch starts at zero:
// a fresh block passes on what it gets.
ModifiedResNet::Bottleneck::Bottleneck(FreshWeights& weights, const std::string& name,
                                       std::int64_t in, std::int64_t planes,
                                       std::int64_t block_stride)
    : stride(block_stride),
      first(weights, name + "conv1", name + "bn1", planes, in, 1),
      second(weights, name + "conv2", name + "bn2", planes, planes, 3),
      third(weights, name + "conv3", name + "bn3", planes * kExpansion, planes, 1, /*gain=*/0) {
  if (stride > 1 || in != planes * kExpansion) {
    downsample.emplace(weights, name + "downsample.0", name + "downsample.1", planes * kExpansion,
                       in, 1);
  }
}

at::Tensor ModifiedResNet::Bottleneck::operator()(const at::Tensor& x,
                                                  const NormScope& scope) const {
  at::Tensor out = first(x, scope).relu_();
  out = AveragePool(second(out, scope).relu_(), stride);
  out = third(out, scope);
  out.add_(downsample ? (*downsample)(AveragePool(x, stride), scope) : x);
  return out.relu_();
}

ModifiedResNet::AttentionPool::AttentionPool(FreshWeights& weights, const std::string& name,
                                             std::int64_t side, std::int64_t width,
                                             std::int64_t head_count, std::int64_t out)
    : heads(head_count),
      positional_embedding(weights.Normal(name + "positional_embedding", {side * side + 1, width},
                                          OneOverRoot(width), Role::kEmbedding)),
      k_proj(MakeLinear(weights, name + "k_proj", width, width)),
      q_proj(MakeLinear(weights, name + "q_proj", width, width)),
      v_proj(MakeLinear(weights, name + "v_proj", width, width)),
      c_proj(MakeLinear(weights, name + "c_proj", out, width, Role::kHead)) {}

at::Tensor ModifiedResNet::AttentionPool::operator()(const at::Tensor& x) const {
  const std::int64_t batch = x.size(0), width = x.size(1);
  const at::Tensor places = x.flatten(2).transpose(1, 2);  // [b, side², width]
  const at::Tensor tokens =
      at::cat({places.mean(1, /*keepdim=*/true), places}, 1).add_(positional_embedding);
  const auto by_head = [&](const at::Tensor& rows) {
    return rows.view({batch, -1, heads, width / heads}).transpose(1, 2);  // [b, heads, n, ·]
  };
  // Only the mean's feature is read: one query a picture.
  const at::Tensor mixed = at::scaled_dot_product_attention(
      by_head(q_proj(tokens.select(1, 0))), by_head(k_proj(tokens)), by_head(v_proj(tokens)));
  return c_proj(mixed.transpose(1, 2).reshape({batch, width}));
}

std::vector<ModifiedResNet::Bottleneck> ModifiedResNet::MakeBlocks(FreshWeights& weights,
                                                                   const VisionConfig& config) {
  std::vector<Bottleneck> blocks;
  std::int64_t in = config.width;
  for (std::size_t stage = 0; stage < config.resnet_layers.size(); ++stage) {
    const std::int64_t planes = config.width << stage;
    for (std::int64_t i = 0; i < config.resnet_layers[stage]; ++i) {
      const std::int64_t stride = i == 0 && stage > 0 ? 2 : 1;
      blocks.emplace_back(weights, fmt::format("visual.layer{}.{}.", stage + 1, i), in, planes,
                          stride);
      in = planes * kExpansion;
    }
  }
  return blocks;
}

ModifiedResNet::ModifiedResNet(FreshWeights& weights, const ModelConfig& config)
    : stem_1_(weights.At(Tower::kImage), "visual.conv1", "visual.bn1", config.vision.width / 2, 3,
              3),
      stem_2_(weights, "visual.conv2", "visual.bn2", config.vision.width / 2,
              config.vision.width / 2, 3),
      stem_3_(weights, "visual.conv3", "visual.bn3", config.vision.width, config.vision.width / 2,
              3),
      blocks_(MakeBlocks(weights, config.vision)),
      attnpool_(weights, "visual.attnpool.", config.vision.image_size / kResNetShrink,
                config.vision.width * kResNetExpansion,
                config.vision.width * kResNetExpansion / config.vision.head_width,
                config.embed_dim) {}

at::Tensor ModifiedResNet::Forward(const at::Tensor& images, TowerMode mode) const {
  const NormScope scope{mode, comm_};
  at::Tensor x = stem_1_(images, scope, /*stride=*/2).relu_();
  x = stem_2_(x, scope).relu_();
  x = AveragePool(stem_3_(x, scope).relu_(), 2);
  for (const Bottleneck& block : blocks_) x = block(x, scope);
  return attnpool_(x);
}

}  // namespace fastclip
