#include "trainer/optim/fused_adamw.h"

#include <ATen/ATen.h>

namespace fastclip {

FusedAdamW::FusedAdamW(const std::vector<Parameter>& parameters, const OptimizerOptions& options)
    : GroupedOptimizer(parameters, options.weight_decay, {"exp_avg", "exp_avg_sq"},
                       {"exp_avg", "exp_avg_sq"}),
      beta1_(options.beta1),
      beta2_(options.beta2),
      eps_(options.eps) {}

void FusedAdamW::Update(const Group& group) {
  const std::vector<at::Tensor> steps(group.parameters.size(), step());
  at::_fused_adamw_(group.parameters, group.gradients, group.state[0], group.state[1], {}, steps,
                    group.lr, beta1_, beta2_, group.weight_decay, eps_,
                    /*amsgrad=*/false, /*maximize=*/false);
}

}  // namespace fastclip
