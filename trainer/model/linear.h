#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace fastclip {

class LinearTuner;

/// y = x·Wᵀ + b, changed by its tuners (tuner.h). All weights of blocks are applied here.
struct Linear {
  std::string name;   ///< without ".weight": "visual.….mlp.c_fc"
  at::Tensor weight;  ///< [out, in]
  at::Tensor bias;    ///< [out]
  std::vector<std::shared_ptr<const LinearTuner>> tuners{};

  at::Tensor operator()(const at::Tensor& x) const;
  /// Without tuners.
  at::Tensor Plain(const at::Tensor& x) const;
  /// Splits the map into consecutive maps with `out` output rows each.
  std::vector<Linear> Split(at::IntArrayRef out) const;
  std::vector<at::Tensor> parameters() const;
};

}  // namespace fastclip
