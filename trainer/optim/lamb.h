#pragma once

#include "trainer/optim/grouped_optimizer.h"

namespace fastclip {

/// LAMB (You et al. 2020), as fast_clip has it: AdamW's step, in decayed tensors scaled by ‖p‖/‖r‖,
/// without clamps. The norms are over whole tensors: a sharded parameter would need them summed.
/// State: "step", "exp_avg.NAME", "exp_avg_sq.NAME". A step needs room for one more copy of a
/// group's parameters.
class Lamb final : public GroupedOptimizer {
 public:
  Lamb(const std::vector<Parameter>& parameters, const OptimizerOptions& options);

 private:
  void Update(const Group& group) override;

  double beta1_, beta2_, eps_;
};

}  // namespace fastclip
