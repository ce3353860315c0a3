#pragma once

#include "trainer/optim/grouped_optimizer.h"

namespace fastclip {

/// SGD with momentum with ATen's fused kernel; weight decay is an L2 term of the gradient. The
/// temperature has no momentum, as in the authors' later code (DRRho-CLIP). State: "step", and
/// "momentum_buffer.NAME" for parameters with momentum.
class FusedSgd final : public GroupedOptimizer {
 public:
  FusedSgd(const std::vector<Parameter>& parameters, const OptimizerOptions& options);

 private:
  void Update(const Group& group, const Refusal& refusal) override;

  double momentum_;
  bool nesterov_;
};

}  // namespace fastclip
