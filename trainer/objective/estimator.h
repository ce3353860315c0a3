#pragma once

#include <ATen/core/Tensor.h>

#include <limits>

#include "trainer/objective/contrastive_objective.h"

namespace fastclip {

/// ln u of an estimator that was not written yet.
inline constexpr double kUnseenLogU = -std::numeric_limits<double>::infinity();

/// Bounds of per-sample temperatures (DRO-CLIP's published code).
inline constexpr double kSmallestTau = 0.01, kLargestTau = 1;

/// Elementwise, any shape: false if the estimator was not written yet or is broken (u < 1e-35,
/// infinite or NaN).
at::Tensor Seen(const at::Tensor& log_u);

/// u ← (1−γ)·u + γ·g in the log domain (FastCLIP, Algorithm 1); u ← g where it was not seen, and
/// everywhere if γ = 1.
at::Tensor MovedLogU(const at::Tensor& log_u, const at::Tensor& seen, const at::Tensor& log_g,
                     const StepScalars& scalars);

/// Throws std::invalid_argument for a global batch of one row: g is a mean over the others.
void CheckHasNegatives(const Features& features);

}  // namespace fastclip
