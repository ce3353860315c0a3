#pragma once

#include <cstdint>
#include <string>

namespace fastclip {

/// The model's learning rate over a run.
struct LearningRateOptions {
  /// OpenCLIP's schedules. "cosine": falls to `lr_min` at the end. "const": constant after the
  /// warmup. "const-cooldown": constant, then falls to `cooldown_end` over the last epochs.
  std::string schedule = "cosine";
  /// The rate at the end of the warmup.
  double lr = 1e-3;
  /// The rate at the end of "cosine".
  double lr_min = 0;
  /// Steps in which the rate rises from lr/warmup to lr; 0: none.
  std::int64_t warmup = 0;
  /// Number of last epochs in which "const-cooldown" falls, at least 1.
  std::int64_t cooldown_epochs = 0;
  /// Shape of the fall: 1 is linear, larger powers fall early and end flat.
  double cooldown_power = 1;
  /// The rate at the end of "const-cooldown".
  double cooldown_end = 0;
};

/// Length of a run. Only "const-cooldown" uses steps_per_epoch.
struct RunLength {
  std::int64_t steps = 0;
  double steps_per_epoch = 0;
};

/// Throws std::invalid_argument with the reason.
void CheckLearningRate(const LearningRateOptions& options);

/// The rate of a step (counted from 0 over all epochs).
double LearningRate(const LearningRateOptions& options, std::int64_t step, const RunLength& run);

}  // namespace fastclip
