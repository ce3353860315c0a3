#pragma once

#include "trainer/objective/contrastive_objective.h"

namespace fastclip {

/// The robust contrastive loss with a temperature per sample and side (FastCLIP v2, iSogCLR).
/// Besides u, each anchor has τ and its two Adam moments, in the columns log_u_*, tau_*, m_* and
/// v_* (* is image and text). logit_scale does not change.
///
/// "exact" is the gradient of the published objective. "reference" is fast_clip's: no factor τ_i
/// for features, ε scaled by e^β with β the largest d_ij seen so far (columns bound_*), moments
/// starting at zero with a bias correction by the epoch's number.
class RobustContrastive final : public ContrastiveObjective {
 public:
  explicit RobustContrastive(const ObjectiveOptions& options);

  std::vector<std::string> state_columns() const override;
  std::vector<double> initial_state() const override;
  bool learns_temperature() const override { return false; }
  ObjectiveResult Evaluate(const Features& features, const at::Tensor& state,
                           const StepScalars& scalars, Communicator& comm) const override;

 private:
  struct Temperatures;
  Temperatures Moved(const Temperatures& old, const at::Tensor& gradient, const at::Tensor& seen,
                     const StepScalars& scalars) const;

  ObjectiveOptions options_;
  bool reference_;
};

}  // namespace fastclip
