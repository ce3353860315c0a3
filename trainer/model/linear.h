#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

namespace fastclip {

/// y = x·Wᵀ + b. All weights are applied here: an adapter or pruning would change this struct and
/// add its tensors to parameters().
struct Linear {
  std::string name;   ///< without ".weight": "visual.….mlp.c_fc"
  at::Tensor weight;  ///< [out, in]
  at::Tensor bias;    ///< [out]

  at::Tensor operator()(const at::Tensor& x) const;
  /// Splits the map into consecutive maps with `out` output rows each.
  std::vector<Linear> Split(at::IntArrayRef out) const;
  std::vector<at::Tensor> parameters() const { return {weight, bias}; }
};

}  // namespace fastclip
