#include "trainer/optim/lion.h"

#include <ATen/ATen.h>

namespace fastclip {

Lion::Lion(const std::vector<Parameter>& parameters, const OptimizerOptions& options)
    : GroupedOptimizer(parameters, options.weight_decay, {"exp_avg"}, {"exp_avg"}),
      beta1_(options.beta1),
      beta2_(options.beta2) {}

void Lion::Update(const Group& group) {
  const std::vector<at::Tensor>& m = group.state[0];
  // p ← p − lr·(wd·p + sign(β1·m + (1−β1)·g)),  then m ← β2·m + (1−β2)·g
  if (group.weight_decay != 0) {
    at::_foreach_mul_(group.parameters, 1 - group.lr * group.weight_decay);
  }
  std::vector<at::Tensor> directions = at::_foreach_lerp(m, group.gradients, 1 - beta1_);
  at::_foreach_sign_(directions);
  at::_foreach_add_(group.parameters, directions, -group.lr);
  at::_foreach_lerp_(m, group.gradients, 1 - beta2_);
}

}  // namespace fastclip
