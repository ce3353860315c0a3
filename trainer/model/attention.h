#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "trainer/model/block.h"
#include "trainer/model/caption_groups.h"
#include "trainer/model/fresh_weights.h"

namespace fastclip {

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
  at::Tensor Forward(at::Tensor x, SequenceGroups groups, const at::Tensor& pool) const;
  /// Features of all positions, [places, width].
  at::Tensor ForwardAll(at::Tensor x, SequenceGroups groups) const;

  /// To attach tuners to.
  std::vector<TransformerBlock>& blocks() { return blocks_; }
  const std::vector<TransformerBlock>& blocks() const { return blocks_; }
  bool has_tokens() const { return tokens_ != nullptr; }
  /// REQUIRES: features are read at place 0.
  void set_tokens(std::shared_ptr<const TokenTuner> tokens) { tokens_ = std::move(tokens); }

  /// If on, keeps only each block's input and recomputes the block in the backward pass.
  void set_grad_checkpointing(bool on) { grad_checkpointing_ = on; }

 private:
  void Enter(std::size_t block, at::Tensor& x, SequenceGroups& groups) const;
  at::Tensor RunWhole(std::size_t block, const at::Tensor& x, const SequenceGroups& groups,
                      const at::Tensor& last) const;
  at::Tensor RunLast(const at::Tensor& x, const SequenceGroups& groups,
                     const at::Tensor& pool) const;
  at::Tensor Run(const TransformerBlock& block, const at::Tensor& x,
                 std::function<at::Tensor(const at::Tensor&)> part) const;
  at::Tensor Attend(const TransformerBlock& block, const BranchInput& in) const;
  at::Tensor MixAll(const TransformerBlock& block, const at::Tensor& packed,
                    const SequenceGroup& group) const;
  at::Tensor AttendFrom(const TransformerBlock& block, const at::Tensor& x,
                        const SequenceGroups& groups, const at::Tensor& rows,
                        const at::Tensor& pool) const;
  at::Tensor MixFrom(const TransformerBlock& block, const at::Tensor& q, const at::Tensor& packed,
                     const at::Tensor& pool) const;
  at::Tensor AddMlp(const TransformerBlock& block, const BranchInput& in) const;
  at::Tensor LastOf(const at::Tensor& pool) const;

  TransformerOptions options_;
  std::vector<TransformerBlock> blocks_;
  std::shared_ptr<const TokenTuner> tokens_;
  bool grad_checkpointing_ = false;
};

}  // namespace fastclip
