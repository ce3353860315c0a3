#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

#include "comm/communicator.h"
#include "trainer/model/fresh_weights.h"
#include "trainer/model/tower_mode.h"

namespace fastclip {

/// Mode and ranks of a batch normalization.
struct NormScope {
  TowerMode mode = TowerMode::kEvaluate;
  Communicator* comm = nullptr;  ///< statistics over the rows of its ranks; null: of this rank
};

/// PyTorch's BatchNorm2d: normalizes each channel over rows and positions. Running statistics use
/// momentum 0.1 and the unbiased variance.
struct BatchNorm {
  /// `gain` is the initial weight: 1, or 0 for the last norm of a residual branch.
  BatchNorm(FreshWeights& weights, const std::string& name, std::int64_t channels, double gain = 1);

  /// x [b, channels, h, w]. Throws std::invalid_argument in training if a channel has only one
  /// value, which has no variance.
  at::Tensor operator()(const at::Tensor& x, const NormScope& scope) const;

  at::Tensor weight, bias;
  at::Tensor running_mean, running_var;
  at::Tensor num_batches_tracked;  // 0-d int64; counts batches, has no effect
};

}  // namespace fastclip
