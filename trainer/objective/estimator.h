#pragma once

#include <ATen/core/Tensor.h>

#include <limits>

#include "trainer/objective/contrastive_objective.h"

namespace fastclip {

/// ln u of an estimator that was never written.
inline constexpr double kUnseenLogU = -std::numeric_limits<double>::infinity();

/// The bounds of a temperature a sample (DRO-CLIP's published code).
inline constexpr double kSmallestTau = 0.01, kLargestTau = 1;

/// False where the estimator was never written or is broken: u < 1e-35, infinite or NaN. Of any
/// shape.
at::Tensor Seen(const at::Tensor& log_u);

/// u ← (1−γ)·u + γ·g on logarithms (FastCLIP, Algorithm 1); u ← g where it was not seen, and where
/// γ = 1, whatever u was.
at::Tensor MovedLogU(const at::Tensor& log_u, const at::Tensor& seen, const at::Tensor& log_g,
                     double gamma);

/// Throws std::invalid_argument for a global batch of one row: g is a mean over the others.
void CheckHasNegatives(const Features& features);

}  // namespace fastclip
