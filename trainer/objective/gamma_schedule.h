#pragma once

#include <cstdint>
#include <string>

namespace fastclip {

/// γ, the rate with which the estimators u follow the inner values g. It changes between epochs.
struct GammaOptions {
  /// "cosine": from 1 down to `min` over `decay_epochs`. "constant": `min` from the second epoch
  /// on.
  std::string schedule = "cosine";
  /// The smallest γ. Short runs want it near 1.
  double min = 0.2;
  /// Epochs until γ is `min`; 0: half of the run's.
  std::int64_t decay_epochs = 0;
};

/// Throws std::invalid_argument with the reason.
void CheckGamma(const GammaOptions& options);

/// γ of an epoch (they count from 0) of a run of `epochs`. The first epoch's is 1: u starts as g.
double Gamma(const GammaOptions& options, std::int64_t epoch, std::int64_t epochs);

}  // namespace fastclip
