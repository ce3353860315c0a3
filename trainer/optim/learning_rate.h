#pragma once

#include <cstdint>
#include <string>

namespace fastclip {

/// The model's learning rate over a run.
struct LearningRateOptions {
  /// "cosine": falls to `lr_min` at the end. "const": stays after the warm-up.
  std::string schedule = "cosine";
  /// The rate at the warm-up's end.
  double lr = 1e-3;
  /// The rate at the end of "cosine".
  double lr_min = 0;
  /// Steps in which the rate rises from lr/warmup to lr; 0: none.
  std::int64_t warmup = 0;
};

/// Throws std::invalid_argument with the reason.
void CheckLearningRate(const LearningRateOptions& options);

/// The rate of a step (they count from 0 through the epochs) of a run of `steps`.
double LearningRate(const LearningRateOptions& options, std::int64_t step, std::int64_t steps);

}  // namespace fastclip
