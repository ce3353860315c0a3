#pragma once

#include "trainer/optim/grouped_optimizer.h"

namespace fastclip {

/// LAMB (You et al. 2020) as in fast_clip: AdamW's step, scaled by ‖p‖/‖r‖ for tensors with weight
/// decay, without clamps. Norms are over whole tensors; a sharded parameter would need them summed.
/// State: "step", "exp_avg.NAME", "exp_avg_sq.NAME". A step needs memory for one extra copy of a
/// group's parameters.
class Lamb final : public GroupedOptimizer {
 public:
  Lamb(const std::vector<Parameter>& parameters, const OptimizerOptions& options);

 private:
  void Update(const Group& group, const Refusal& refusal) override;

  double beta1_, beta2_, eps_;
};

}  // namespace fastclip
