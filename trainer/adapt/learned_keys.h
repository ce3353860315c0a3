#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "trainer/adapt/kinds.h"

namespace fastclip {

/// Keys [Lp, heads · qk_dim] and values [Lp, heads · v_dim] that all sequences share; head h has
/// columns h · dim … of each.
struct KeysAndValues {
  at::Tensor keys, values;
};

/// Lp learned keys and values of a block: parameters themselves (a prefix), or the block's own maps
/// W_k p + b_k, W_v p + b_v of a learned prompt p, without a norm.
class LearnedKeys {
 public:
  enum class Form : std::uint8_t { kPrefix, kPrompt };

  /// Starts as Xavier's; with `zero_values` the values of a prefix start at zero.
  LearnedKeys(Form form, const TunerPlace& at, std::int64_t lp, bool zero_values);

  KeysAndValues Of(const TransformerBlock& block) const;
  std::vector<at::Tensor> parameters() const;

 private:
  at::Tensor keys_, values_;  // of a prefix
  at::Tensor prompt_;         // [Lp, width]
};

}  // namespace fastclip
