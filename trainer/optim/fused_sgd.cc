#include "trainer/optim/fused_sgd.h"

#include <ATen/ATen.h>

#include <optional>

namespace fastclip {

FusedSgd::FusedSgd(const std::vector<Parameter>& parameters, const OptimizerOptions& options)
    : GroupedOptimizer(parameters, options.weight_decay,
                       options.momentum > 0 ? Kinds{"momentum_buffer"} : Kinds{}, {}),
      momentum_(options.momentum),
      nesterov_(options.nesterov) {}

void FusedSgd::Update(const Group& group, const Refusal& refusal) {
  const bool has_momentum = !group.state.empty();
  const std::vector<at::Tensor> buffers = has_momentum ? group.state[0] : std::vector<at::Tensor>();
  // d ← g + wd·p,  buf ← momentum·buf + d,  p ← p − lr·buf  (nesterov: p − lr·(d + momentum·buf)).
  // A buffer that is still 0 makes the first step's buf = d: no step is a special one.
  std::optional<at::Tensor> found_inf;
  if (refusal.on_device().defined()) found_inf = refusal.on_device();
  const auto update = [&](const auto& lr) {
    at::_fused_sgd_(group.parameters, group.gradients, buffers, group.weight_decay,
                    has_momentum ? momentum_ : 0.0, lr, /*dampening=*/0.0,
                    has_momentum && nesterov_, /*maximize=*/false, /*is_first_step=*/false,
                    /*grad_scale=*/{}, found_inf);
  };
  group.lr_on_device.defined() ? update(group.lr_on_device) : update(group.lr);
}

}  // namespace fastclip
