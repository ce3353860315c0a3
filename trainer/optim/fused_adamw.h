#pragma once

#include "trainer/optim/grouped_optimizer.h"

namespace fastclip {

/// AdamW with decoupled weight decay (Loshchilov, Hutter 2019) with ATen's fused kernel, one call
/// per parameter group. State: "step", "exp_avg.NAME", "exp_avg_sq.NAME".
class FusedAdamW final : public GroupedOptimizer {
 public:
  FusedAdamW(const std::vector<Parameter>& parameters, const OptimizerOptions& options);

 private:
  void Update(const Group& group, const Refusal& refusal) override;

  double beta1_, beta2_, eps_;
};

}  // namespace fastclip
