#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "trainer/model/fresh_weights.h"

namespace fastclip {

/// Gain and offset of a normalisation over the last dimension.
struct LayerNorm {
  LayerNorm(FreshWeights& weights, const std::string& name, std::int64_t width);
  at::Tensor operator()(const at::Tensor& x) const;

  at::Tensor weight, bias;
};

/// How the weights of a block start. OpenCLIP leaves the image tower to PyTorch's defaults and
/// gives the text tower normals that shrink with depth.
enum class BlockStart { kTorchDefault, kDepthScaledNormal };

struct TransformerOptions {
  std::int64_t width;
  std::int64_t layers;
  std::int64_t heads;
  std::int64_t mlp_width;
  bool quick_gelu;
  bool causal;  ///< a place sees itself and what is before it
  BlockStart start;
};

/// Residual blocks of attention and MLP, normalised before each (OpenCLIP's Transformer).
///
/// Only one place of each sequence is read at the end, so the last block computes queries, output
/// and MLP for that place alone: the same numbers for less work.
class Transformer {
 public:
  /// Makes its weights under `name`.resblocks.N.
  Transformer(FreshWeights& weights, const std::string& name, const TransformerOptions& options);

  /// The feature of place `pool` [batch] of each sequence, [batch, width], of x [batch · n, width].
  /// Activations have two dimensions, so that residual sums run in place on what is no view.
  at::Tensor Forward(at::Tensor x, std::int64_t batch, const at::Tensor& pool) const;

  /// Keeps a block's input alone for the backward pass, which computes the block again.
  void set_grad_checkpointing(bool on) { grad_checkpointing_ = on; }

 private:
  struct Block {
    LayerNorm ln_1;
    at::Tensor in_proj_weight, in_proj_bias;  // [3 · width, width]: rows of q, k, v
    at::Tensor out_proj_weight, out_proj_bias;
    LayerNorm ln_2;
    at::Tensor c_fc_weight, c_fc_bias;
    at::Tensor c_proj_weight, c_proj_bias;

    std::vector<at::Tensor> parameters() const;
  };
  Block MakeBlock(FreshWeights& weights, const std::string& name) const;
  at::Tensor Attend(const Block& block, const at::Tensor& x, std::int64_t batch) const;
  at::Tensor AttendFrom(const Block& block, const at::Tensor& x, const at::Tensor& rows,
                        const at::Tensor& pool) const;
  at::Tensor AddMlp(const Block& block, const at::Tensor& x) const;
  at::Tensor Run(const Block& block, const at::Tensor& x,
                 std::function<at::Tensor(const at::Tensor&)> part) const;

  TransformerOptions options_;
  std::vector<Block> blocks_;
  bool grad_checkpointing_ = false;
};

}  // namespace fastclip
