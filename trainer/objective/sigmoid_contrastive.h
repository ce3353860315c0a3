#pragma once

#include "trainer/objective/contrastive_objective.h"

namespace fastclip {

/// SigLIP's loss (OpenCLIP's --siglip): each pair of the batch is a separate binary problem,
///     L = −1/N Σ_ij ln σ(y_ij·(S_ij/τ + bias)),   y_ii = 1, else −1.
/// No state; logit_scale and logit_bias are learned. Ranks exchange only features.
class SigmoidContrastive final : public ContrastiveObjective {
 public:
  explicit SigmoidContrastive(std::int64_t tile) : tile_(tile) {}

  std::vector<std::string> state_columns() const override { return {}; }
  std::vector<double> initial_state() const override { return {}; }
  bool learns_temperature() const override { return true; }
  bool learns_bias() const override { return true; }
  ObjectiveResult Evaluate(const Features& features, const at::Tensor& state,
                           const StepScalars& scalars, Communicator& comm) const override;

 private:
  std::int64_t tile_;
};

}  // namespace fastclip
