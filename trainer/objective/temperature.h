#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

#include "trainer/optim/learning_rate.h"

namespace fastclip {

/// The temperature τ, learned as t = ln(1/τ), the model's logit_scale, or one a sample (v2,
/// iSogCLR).
struct TemperatureOptions {
  /// τ at the start, in [0.01, 1].
  double init = 0.07;
  /// Whose τ (and bias) a run has that starts from weights: "config": `init`; "weights": theirs;
  /// "auto": theirs where it is learned, `init` where it is constant or each sample's own.
  std::string from = "auto";
  /// Learning rate of t; below 0: the model's.
  double lr = -1;
  /// "cosine": a cosine of its own with the model's warm-up and lr_min, whatever the model's
  /// schedule is (fast_clip's rule). "model": the model's schedule (OpenCLIP's rule, which differs
  /// where that is no cosine). "const": no warm-up. "step_thresh": no warm-up, and a third of `lr`
  /// while τ ≤ 0.03.
  std::string schedule = "cosine";
  /// The sigmoid loss's bias at the start.
  double logit_bias = -10;
};

/// Throws std::invalid_argument with the reason.
void CheckTemperature(const TemperatureOptions& options);

/// Learning rate of t for a step of a run. `logit_scale` is t before the step; only "step_thresh"
/// reads it (on a GPU that waits for the device).
double TemperatureRate(const TemperatureOptions& options, const LearningRateOptions& model,
                       std::int64_t step, const RunLength& run, const at::Tensor& logit_scale);

/// Puts t back into [0, ln 100], so that τ stays in [0.01, 1]. Called after each optimizer step.
void ClampLogitScale(at::Tensor logit_scale);

}  // namespace fastclip
