#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "trainer/model/fresh_weights.h"
#include "trainer/model/linear.h"

namespace fastclip {

/// Gain and offset of a normalisation over the last dimension.
struct LayerNorm {
  LayerNorm(FreshWeights& weights, const std::string& name, std::int64_t width);
  at::Tensor operator()(const at::Tensor& x) const;
  std::vector<at::Tensor> parameters() const { return {weight, bias}; }

  at::Tensor weight, bias;
};

/// How the weights of a block start. OpenCLIP leaves the image tower to PyTorch's defaults and
/// gives the text tower normals that shrink with depth.
enum class BlockStart { kTorchDefault, kDepthScaledNormal };

/// The sizes of a block; blocks of one tower may differ.
struct BlockShape {
  std::int64_t heads;
  std::int64_t qk_dim;  ///< of a head's queries and keys
  std::int64_t v_dim;   ///< of a head's values
  std::int64_t ffn;     ///< width of the MLP
};

struct TransformerOptions {
  Tower tower;
  std::int64_t width;
  std::vector<BlockShape> blocks;
  bool quick_gelu;
  bool causal;  ///< a place sees itself and what is before it
  BlockStart start;
};

/// Parameter::part in a transformer tower: of its embeddings, of a block, of the projection.
inline constexpr std::int64_t kEmbeddings = 0;
constexpr std::int64_t BlockPart(std::int64_t block) { return block + 1; }
constexpr std::int64_t ProjectionPart(std::int64_t layers) { return layers + 1; }

/// Residual blocks of attention and MLP, normalised before each (OpenCLIP's Transformer).
///
/// Mostly one place of each sequence is read at the end, so the last block then computes queries,
/// output and MLP for that place alone: the same numbers for less work.
class Transformer {
 public:
  /// Makes its weights under `name`.resblocks.N.
  Transformer(FreshWeights& weights, const std::string& name, const TransformerOptions& options);

  /// The feature of place `pool` [batch] of each sequence, [batch, width], of x [batch · n, width].
  /// Activations have two dimensions, so that residual sums run in place on what is no view.
  at::Tensor Forward(at::Tensor x, std::int64_t batch, const at::Tensor& pool) const;
  /// The features of all places, [batch · n, width].
  at::Tensor ForwardAll(at::Tensor x, std::int64_t batch) const;

  /// Keeps a block's input alone for the backward pass, which computes the block again.
  void set_grad_checkpointing(bool on) { grad_checkpointing_ = on; }

 private:
  struct Block {
    BlockShape shape;
    LayerNorm ln_1;
    Linear in_proj;  // rows of q, k, v: heads · qk_dim twice, heads · v_dim
    Linear out_proj;
    LayerNorm ln_2;
    Linear c_fc, c_proj;

    std::vector<at::Tensor> parameters() const;
  };
  Block MakeBlock(FreshWeights& weights, const std::string& name, const BlockShape& shape) const;
  at::Tensor Attend(const Block& block, const at::Tensor& x, std::int64_t batch) const;
  at::Tensor AttendFrom(const Block& block, const at::Tensor& x, const at::Tensor& rows,
                        const at::Tensor& pool) const;
  at::Tensor AddMlp(const Block& block, const at::Tensor& x) const;
  at::Tensor Run(const Block& block, const at::Tensor& x,
                 std::function<at::Tensor(const at::Tensor&)> part) const;
  at::Tensor RunWhole(const Block& block, const at::Tensor& x, std::int64_t batch) const;

  TransformerOptions options_;
  std::vector<Block> blocks_;
  bool grad_checkpointing_ = false;
};

}  // namespace fastclip
