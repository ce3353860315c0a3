#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "trainer/model/fresh_weights.h"
#include "trainer/model/linear.h"
#include "trainer/model/tuner.h"

namespace fastclip {

/// PyTorch's LayerNorm over the last dimension.
///
/// Under autocast, on every device: statistics in float32, the result in autocast's type. Left to
/// itself, autocast would use float32 throughout on a GPU, and twice the bytes.
struct LayerNorm {
  LayerNorm(FreshWeights& weights, const std::string& name, std::int64_t width);
  at::Tensor operator()(const at::Tensor& x) const;
  /// Without autocast: the result in x's type.
  at::Tensor Whole(const at::Tensor& x) const;
  std::vector<at::Tensor> parameters() const { return {weight, bias}; }

  at::Tensor weight, bias;
};

/// Sizes of a block; blocks of one tower can differ.
struct BlockShape {
  std::int64_t heads;
  std::int64_t qk_dim;  ///< per head, of queries and keys
  std::int64_t v_dim;   ///< per head, of values
  std::int64_t ffn;     ///< width of the MLP
};

/// Pre-norm attention and MLP on a residual stream, and what is attached to them.
struct TransformerBlock {
  BlockShape shape;
  LayerNorm ln_1;
  Linear in_proj;  ///< rows of q, k, v: heads · qk_dim twice, heads · v_dim
  Linear out_proj;
  LayerNorm ln_2;
  Linear c_fc, c_proj;
  BlockTuners tuners{};

  std::vector<at::Tensor> parameters() const;
};

/// Initialization of a block. OpenCLIP uses PyTorch's defaults for the image tower, and normals
/// whose deviation shrinks with depth for the text tower.
enum class BlockStart { kTorchDefault, kDepthScaledNormal };

/// A block of a tower of `layers` blocks, its weights created under `name`.
TransformerBlock MakeBlock(FreshWeights& weights, const std::string& name, const BlockShape& shape,
                           std::int64_t width, std::int64_t layers, BlockStart start);

}  // namespace fastclip
