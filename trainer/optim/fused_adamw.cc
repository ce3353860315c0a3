#include "trainer/optim/fused_adamw.h"

#include <ATen/ATen.h>

#include <optional>

namespace fastclip {

FusedAdamW::FusedAdamW(const std::vector<Parameter>& parameters, const OptimizerOptions& options)
    : GroupedOptimizer(parameters, options.weight_decay, {"exp_avg", "exp_avg_sq"},
                       {"exp_avg", "exp_avg_sq"}),
      beta1_(options.beta1),
      beta2_(options.beta2),
      eps_(options.eps) {}

void FusedAdamW::Update(const Group& group, const Refusal& refusal) {
  const std::vector<at::Tensor> steps(group.parameters.size(), step());
  std::optional<at::Tensor> found_inf;
  if (refusal.on_device().defined()) found_inf = refusal.on_device();
  const auto update = [&](const auto& lr) {
    at::_fused_adamw_(group.parameters, group.gradients, group.state[0], group.state[1], {}, steps,
                      lr, beta1_, beta2_, group.weight_decay, eps_, /*amsgrad=*/false,
                      /*maximize=*/false, /*grad_scale=*/{}, found_inf);
  };
  group.lr_on_device.defined() ? update(group.lr_on_device) : update(group.lr);
}

}  // namespace fastclip
