#include <ATen/ATen.h>

#include "trainer/optim/update_rules.h"

namespace fastclip {

UpdateRule FusedAdamWRule(const OptimizerOptions& options) {
  const auto update = [options](const UpdateGroup& group) {
    const std::vector<at::Tensor> steps(group.parameters.size(), group.step);
    group.WithRate([&](const auto& lr) {
      at::_fused_adamw_(group.parameters, group.gradients, group.state[0], group.state[1], {},
                        steps, lr, options.beta1, options.beta2, group.weight_decay, options.eps,
                        /*amsgrad=*/false, /*maximize=*/false, /*grad_scale=*/{},
                        group.refusal.found_inf());
    });
  };
  return {.kinds = {"exp_avg", "exp_avg_sq"},
          .temperature_kinds = {"exp_avg", "exp_avg_sq"},
          .update = update};
}

}  // namespace fastclip
