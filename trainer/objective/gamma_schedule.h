#pragma once

#include <cstdint>
#include <string>

namespace fastclip {

/// γ, the moving average rate of the estimators u. It changes between epochs.
struct GammaOptions {
  /// "cosine": from `start` down to `min` over `decay_epochs`. "constant": `min` from the second
  /// epoch on (SogCLR, iSogCLR). "advice": the cosine over all epochs, down to AdvisedGammaMin().
  std::string schedule = "cosine";
  /// γ of the first epoch. 1 replaces the estimators by g; a run that starts from another run's
  /// estimators needs a lower value.
  double start = 1;
  /// The smallest γ; use about 1 for short runs. "advice" ignores it.
  double min = 0.2;
  /// Epochs until γ is `min`; 0: half of the run. Must be 0 with "advice".
  std::int64_t decay_epochs = 0;
};

/// The smallest γ for a run's length, as fitted by FastCLIP's authors (DRRho-CLIP's code):
/// min(1, 4.177·epochs^−0.7265), which is 1 for 7 epochs or fewer and 0.30 for 37.
double AdvisedGammaMin(std::int64_t epochs);

/// Throws std::invalid_argument with the reason.
void CheckGamma(const GammaOptions& options);

/// γ of an epoch (counted from 0) of a run of `epochs`.
double Gamma(const GammaOptions& options, std::int64_t epoch, std::int64_t epochs);

}  // namespace fastclip
