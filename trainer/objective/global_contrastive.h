#pragma once

#include "trainer/objective/contrastive_objective.h"

namespace fastclip {

/// Variant of the objectives with one temperature for all samples.
struct GlobalContrastiveVariant {
  /// The robust objective: the contrastive gradient has the factor τ, and the temperature's loss is
  /// ρτ + τ·½·mean(ln u1 + ln u2).
  bool times_tau = false;
  /// logit_scale is learned.
  bool learns_temperature = false;
  /// Counts the contrastive part of the temperature's gradient twice, as fast_clip does.
  bool doubles_temperature_gradient = false;
};

/// FastCLIP's estimator of the global contrastive loss. Each sample has two estimators, u1 (image
/// anchor) and u2 (text anchor): moving averages of the inner values g with rate γ, which replace g
/// in the gradient's denominators. u is stored as its logarithm, in the columns log_u_image and
/// log_u_text, so that no temperature makes it overflow.
class GlobalContrastive final : public ContrastiveObjective {
 public:
  GlobalContrastive(const ObjectiveOptions& options, const GlobalContrastiveVariant& variant)
      : options_(options), variant_(variant) {}

  std::vector<std::string> state_columns() const override;
  std::vector<double> initial_state() const override;
  bool learns_temperature() const override { return variant_.learns_temperature; }
  ObjectiveResult Evaluate(const Features& features, const at::Tensor& state,
                           const StepScalars& scalars, Communicator& comm) const override;

 private:
  ObjectiveOptions options_;
  GlobalContrastiveVariant variant_;
};

}  // namespace fastclip
