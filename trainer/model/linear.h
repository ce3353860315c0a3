#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

namespace fastclip {

/// y = x·Wᵀ + b: where weights meet activations. What changes a map (an adapter, a pruned one)
/// changes it here, and hands its tensors to parameters().
struct Linear {
  std::string name;   ///< of its weight, without the word for it: "visual.….mlp.c_fc"
  at::Tensor weight;  ///< [out, in]
  at::Tensor bias;    ///< [out]

  at::Tensor operator()(const at::Tensor& x) const;
  /// The map as several, which give `out` rows each, one after the other.
  std::vector<Linear> Split(at::IntArrayRef out) const;
  std::vector<at::Tensor> parameters() const { return {weight, bias}; }
};

}  // namespace fastclip
