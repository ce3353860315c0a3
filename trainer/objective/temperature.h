#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

#include "trainer/optim/learning_rate.h"

namespace fastclip {

/// The temperature τ: learned as t = ln(1/τ), the model's logit_scale, or one per sample (v2,
/// iSogCLR).
struct TemperatureOptions {
  /// Initial τ, in [0.01, 1].
  double init = 0.07;
  /// Initial τ (and bias) of a run that starts from weights. "config": `init`; "weights": that of
  /// the weights; "auto": that of the weights if it is learned, `init` if it is constant or per
  /// sample.
  std::string from = "auto";
  /// Learning rate of t; below 0: the model's.
  double lr = -1;
  /// "cosine": a cosine with the model's warmup and lr_min, even if the model's schedule differs
  /// (as in fast_clip). "model": the model's schedule (as in OpenCLIP). "const": no warmup.
  /// "step_thresh": no warmup, and a third of `lr` while τ ≤ 0.03.
  std::string schedule = "cosine";
  /// Initial bias of the sigmoid loss.
  double logit_bias = -10;
};

/// Throws std::invalid_argument with the reason.
void CheckTemperature(const TemperatureOptions& options);

/// Whether the learning rate of t depends on t.
bool RateReadsTemperature(const TemperatureOptions& options);

/// Learning rate of t for a step of a run. `logit_scale` is t before the step; it counts only if
/// RateReadsTemperature().
double TemperatureRate(const TemperatureOptions& options, const LearningRateOptions& model,
                       std::int64_t step, const RunLength& run, double logit_scale);

/// The same where only a GPU knows t: 0-d float32 on its device. REQUIRES: RateReadsTemperature().
at::Tensor TemperatureRateOnDevice(const TemperatureOptions& options,
                                   const LearningRateOptions& model, const at::Tensor& logit_scale);

/// Clamps t to [0, ln 100], so that τ stays in [0.01, 1]. Called after each optimizer step.
void ClampLogitScale(at::Tensor logit_scale);

}  // namespace fastclip
