#pragma once

#include <cstdint>
#include <string>

namespace fastclip {

/// The model's learning rate over a run.
struct LearningRateOptions {
  /// "cosine": falls to `lr_min` at the end. "const": stays after the warm-up. "const-cooldown":
  /// stays, then falls to `cooldown_end` over the last epochs (OpenCLIP's three).
  std::string schedule = "cosine";
  /// The rate at the warm-up's end.
  double lr = 1e-3;
  /// The rate at the end of "cosine".
  double lr_min = 0;
  /// Steps in which the rate rises from lr/warmup to lr; 0: none.
  std::int64_t warmup = 0;
  /// Last epochs of a run in which "const-cooldown" falls, 1 or more.
  std::int64_t cooldown_epochs = 0;
  /// Shape of the fall: 1 is a line, larger powers fall early and end flat.
  double cooldown_power = 1;
  /// The rate at the end of "const-cooldown".
  double cooldown_end = 0;
};

/// How long a run is. Only "const-cooldown" asks for its epochs.
struct RunLength {
  std::int64_t steps = 0;
  double steps_per_epoch = 0;
};

/// Throws std::invalid_argument with the reason.
void CheckLearningRate(const LearningRateOptions& options);

/// The rate of a step (they count from 0 through the epochs).
double LearningRate(const LearningRateOptions& options, std::int64_t step, const RunLength& run);

}  // namespace fastclip
