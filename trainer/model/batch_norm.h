#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

#include "comm/communicator.h"
#include "trainer/model/fresh_weights.h"
#include "trainer/model/tower_mode.h"

namespace fastclip {

/// How a batch is normalised.
struct NormScope {
  TowerMode mode = TowerMode::kEvaluate;
  Communicator* comm = nullptr;  ///< over the rows of its ranks; null: of this rank
};

/// PyTorch's BatchNorm2d: normalises each channel over rows and places. The running statistics
/// follow with momentum 0.1, the variance without bias.
struct BatchNorm {
  /// `gain` is where the weight starts: 1, or 0 for the last of a residual branch.
  BatchNorm(FreshWeights& weights, const std::string& name, std::int64_t channels, double gain = 1);

  /// x [b, channels, h, w]. Throws std::invalid_argument in training where a channel has one value
  /// only, of which no variance can be taken.
  at::Tensor operator()(const at::Tensor& x, const NormScope& scope) const;

  at::Tensor weight, bias;
  at::Tensor running_mean, running_var;
  at::Tensor num_batches_tracked;  // 0-d int64; counts, and decides nothing
};

}  // namespace fastclip
