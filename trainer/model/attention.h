#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "trainer/model/caption_groups.h"
#include "trainer/model/fresh_weights.h"
#include "trainer/model/linear.h"

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

/// Initialization of a block. OpenCLIP uses PyTorch's defaults for the image tower, and normals
/// whose deviation shrinks with depth for the text tower.
enum class BlockStart { kTorchDefault, kDepthScaledNormal };

/// Sizes of a block; blocks of one tower can differ.
struct BlockShape {
  std::int64_t heads;
  std::int64_t qk_dim;  ///< per head, of queries and keys
  std::int64_t v_dim;   ///< per head, of values
  std::int64_t ffn;     ///< width of the MLP
};

struct TransformerOptions {
  Tower tower;
  std::int64_t width;
  std::vector<BlockShape> blocks;
  bool quick_gelu;
  bool causal;  ///< a position sees itself and earlier ones
  BlockStart start;
};

/// Parameter::part in a transformer tower: of its embeddings, of a block, of the projection.
inline constexpr std::int64_t kEmbeddings = 0;
constexpr std::int64_t BlockPart(std::int64_t block) { return block + 1; }
constexpr std::int64_t ProjectionPart(std::int64_t layers) { return layers + 1; }

/// Pre-norm residual blocks of attention and MLP (OpenCLIP's Transformer).
///
/// Usually only one position of each sequence is read at the end, so the last block computes
/// queries, output and MLP for that position only. The result is the same.
class Transformer {
 public:
  /// Creates its weights under `name`.resblocks.N.
  Transformer(FreshWeights& weights, const std::string& name, const TransformerOptions& options);

  /// Features [sequences, width] at position `pool` [sequences] of each sequence of x [places,
  /// width], which holds the groups one after the other. Only attention is computed group by group.
  /// Activations are 2-d, so that residual sums can run in place (a view could not). x's type is
  /// that of the residual stream: float32, or autocast's.
  at::Tensor Forward(at::Tensor x, const SequenceGroups& groups, const at::Tensor& pool) const;
  /// Features of all positions, [places, width].
  at::Tensor ForwardAll(at::Tensor x, const SequenceGroups& groups) const;

  /// If on, keeps only each block's input and recomputes the block in the backward pass.
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
  at::Tensor Attend(const Block& block, const at::Tensor& x, const SequenceGroups& groups) const;
  at::Tensor MixAll(const BlockShape& shape, const at::Tensor& packed,
                    const SequenceGroup& group) const;
  at::Tensor AttendFrom(const Block& block, const at::Tensor& x, const SequenceGroups& groups,
                        const at::Tensor& rows, const at::Tensor& pool) const;
  at::Tensor MixFrom(const BlockShape& shape, const at::Tensor& q, const at::Tensor& packed,
                     const at::Tensor& pool) const;
  at::Tensor AddMlp(const Block& block, const at::Tensor& x) const;
  at::Tensor Run(const Block& block, const at::Tensor& x,
                 std::function<at::Tensor(const at::Tensor&)> part) const;
  at::Tensor RunWhole(const Block& block, const at::Tensor& x, const SequenceGroups& groups) const;

  TransformerOptions options_;
  std::vector<Block> blocks_;
  bool grad_checkpointing_ = false;
};

}  // namespace fastclip
