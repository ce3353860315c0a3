#pragma once

#include <cstdint>
#include <string>

namespace fastclip {

/// γ, the rate with which the estimators u follow the inner values g. It changes between epochs.
struct GammaOptions {
  /// "cosine": from `start` down to `min` over `decay_epochs`. "constant": `min` from the second
  /// epoch on (SogCLR, iSogCLR). "advice": the cosine over all epochs, down to AdvisedGammaMin().
  std::string schedule = "cosine";
  /// γ of the first epoch. With 1 the estimators start as g, whatever they were; a run that takes
  /// them from another one wants it lower.
  double start = 1;
  /// The smallest γ. Short runs want it near 1. "advice" does not read it.
  double min = 0.2;
  /// Epochs until γ is `min`; 0: half of the run's. "advice" takes 0 only.
  std::int64_t decay_epochs = 0;
};

/// The smallest γ that FastCLIP's authors fitted to the length of a run (DRRho-CLIP's code):
/// min(1, 4.177·epochs^−0.7265), which is 1 for 7 epochs or fewer and 0.30 for 37.
double AdvisedGammaMin(std::int64_t epochs);

/// Throws std::invalid_argument with the reason.
void CheckGamma(const GammaOptions& options);

/// γ of an epoch (they count from 0) of a run of `epochs`.
double Gamma(const GammaOptions& options, std::int64_t epoch, std::int64_t epochs);

}  // namespace fastclip
