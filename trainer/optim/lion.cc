#include <ATen/ATen.h>

#include "trainer/optim/update_rules.h"

namespace fastclip {

UpdateRule LionRule(const OptimizerOptions& options) {
  const auto update = [options](const UpdateGroup& group) {
    const std::vector<at::Tensor>& m = group.state[0];
    // p ← p − lr·(wd·p + sign(β1·m + (1−β1)·g)),  then m ← β2·m + (1−β2)·g
    const std::vector<at::Tensor> gradients = group.GradientsOr(m);
    group.Decay();
    std::vector<at::Tensor> directions = at::_foreach_lerp(m, gradients, 1 - options.beta1);
    at::_foreach_sign_(directions);
    group.Subtract(directions);
    at::_foreach_lerp_(m, gradients, 1 - options.beta2);
  };
  return {.kinds = {"exp_avg"}, .temperature_kinds = {"exp_avg"}, .update = update};
}

}  // namespace fastclip
