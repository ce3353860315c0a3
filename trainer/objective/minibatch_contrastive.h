#pragma once

#include "trainer/objective/contrastive_objective.h"

namespace fastclip {

/// OpenCLIP's loss: the mean of both cross entropies of the batch's similarity matrix. No state;
/// logit_scale is learned. Ranks exchange two log-sum-exps per sample, no feature gradients.
class MinibatchContrastive final : public ContrastiveObjective {
 public:
  explicit MinibatchContrastive(std::int64_t tile) : tile_(tile) {}

  std::vector<std::string> state_columns() const override { return {}; }
  std::vector<double> initial_state() const override { return {}; }
  bool learns_temperature() const override { return true; }
  ObjectiveResult Evaluate(const Features& features, const at::Tensor& state,
                           const StepScalars& scalars, Communicator& comm) const override;

 private:
  std::int64_t tile_;
};

}  // namespace fastclip
