#include <ATen/ATen.h>

#include "trainer/optim/update_rules.h"

namespace fastclip {

UpdateRule FusedSgdRule(const OptimizerOptions& options) {
  const auto update = [options](const UpdateGroup& group) {
    const bool has_momentum = !group.state.empty();
    const std::vector<at::Tensor> buffers =
        has_momentum ? group.state[0] : std::vector<at::Tensor>();
    // d ← g + wd·p,  buf ← momentum·buf + d,
    // p ← p − lr·buf  (nesterov: p − lr·(d + momentum·buf)).
    // A buffer that is still 0 makes the first step's buf = d: no step is a special one.
    group.WithRate([&](const auto& lr) {
      at::_fused_sgd_(group.parameters, group.gradients, buffers, group.weight_decay,
                      has_momentum ? options.momentum : 0.0, lr, /*dampening=*/0.0,
                      has_momentum && options.nesterov, /*maximize=*/false,
                      /*is_first_step=*/false, /*grad_scale=*/{}, group.refusal.found_inf());
    });
  };
  UpdateRule::Kinds kinds;
  if (options.momentum > 0) kinds.emplace_back("momentum_buffer");
  return {.kinds = kinds, .temperature_kinds = {}, .update = update};
}

}  // namespace fastclip
