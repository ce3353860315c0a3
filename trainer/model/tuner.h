#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "trainer/model/caption_groups.h"

namespace fastclip {

struct Linear;
struct TransformerBlock;

// What can be attached to a block. A tower without tuners computes what it did before, to the bit.
// parameters() are all tensors that a tuner reads and that may require a gradient.

/// Changes one linear map.
class LinearTuner {
 public:
  virtual ~LinearTuner() = default;
  virtual std::vector<at::Tensor> parameters() const = 0;
  /// The plain map of x [rows, in], as a new tensor. At most one tuner of a map replaces it.
  virtual at::Tensor Map(const Linear& of, const at::Tensor& x) const;
  virtual bool replaces_map() const { return false; }
  /// The map's result y [rows, out] with what this tuner adds, a new tensor or y itself.
  virtual at::Tensor Add(const at::Tensor& /*x*/, at::Tensor y) const { return y; }
  /// The tuner of output rows first … first + count − 1 alone; null if it does nothing there.
  /// Needed only at in_proj.
  virtual std::shared_ptr<const LinearTuner> Rows(std::int64_t first, std::int64_t count) const;
  /// Writes what it trains of the map's own weight into that weight, for those who read it alone.
  virtual void WriteTo(const Linear& /*of*/) const {}
  /// The map's own weight was replaced: starts anew from it.
  virtual void TakeFrom(const Linear& /*of*/) const {}
};

/// The rows of a residual stream that a branch works on.
struct BranchInput {
  at::Tensor x;  ///< [rows, width], before any norm
  /// Of all places of the sequences; empty if x holds only one row of each (never if the tuner
  /// needs_all_rows()).
  SequenceGroups groups{};
  /// [sequences] int64: places behind it are padding. Undefined: none is.
  at::Tensor last{};
  /// [rows, heads · qk_dim]: the block's own queries of x, if they are at hand; else undefined.
  at::Tensor queries{};
};

/// A branch beside MHA, MLP or the whole block, whose result is added to the residual stream.
class BranchTuner {
 public:
  virtual ~BranchTuner() = default;
  virtual std::vector<at::Tensor> parameters() const = 0;
  /// Whether a row's result depends on other rows of its sequence.
  virtual bool needs_all_rows() const { return false; }
  /// [rows, width], a new tensor.
  virtual at::Tensor Delta(const TransformerBlock& block, const BranchInput& input) const = 0;
};

/// Queries [b, heads, m, qk_dim], keys and values [b, heads, n, ·] of a block.
struct AttentionInput {
  at::Tensor q, k, v;
  bool causal = false;  ///< query i sees keys 0 … i (m = n)
  at::Tensor seen{};    ///< [b, 1, m, n] bool, or undefined: all, but for `causal`
};

/// Takes the place of a block's attention.
class AttentionTuner {
 public:
  virtual ~AttentionTuner() = default;
  virtual std::vector<at::Tensor> parameters() const = 0;
  /// [b, heads, m, v_dim].
  virtual at::Tensor Mix(const TransformerBlock& block, const AttentionInput& input) const = 0;
};

/// Learned tokens behind the first place of each sequence. They are no part of the features.
class TokenTuner {
 public:
  virtual ~TokenTuner() = default;
  virtual std::vector<at::Tensor> parameters() const = 0;
  virtual std::int64_t tokens() const = 0;  ///< Lp
  /// [Lp, width] that enter a block; undefined: what left the block before. Defined for block 0.
  virtual at::Tensor Before(std::int64_t block) const = 0;
};

/// What is attached to a block, in the order in which it is added.
struct BlockTuners {
  std::vector<std::shared_ptr<const BranchTuner>> mha, ffn, block;
  std::shared_ptr<const AttentionTuner> attention;

  bool need_all_rows() const;
  std::vector<at::Tensor> parameters() const;
};

}  // namespace fastclip
