#include "trainer/optim/lion.h"

#include <ATen/ATen.h>

namespace fastclip {

Lion::Lion(const std::vector<Parameter>& parameters, const OptimizerOptions& options)
    : GroupedOptimizer(parameters, options.weight_decay, {"exp_avg"}, {"exp_avg"}),
      beta1_(options.beta1),
      beta2_(options.beta2) {}

void Lion::Update(const Group& group, const Refusal& refusal) {
  const std::vector<at::Tensor>& m = group.state[0];
  const std::vector<at::Tensor> gradients = GradientsOr(m, group, refusal);
  // p ← p − lr·(wd·p + sign(β1·m + (1−β1)·g)),  then m ← β2·m + (1−β2)·g
  if (group.weight_decay != 0)
    Multiply(group.parameters, 1 - group.lr * group.weight_decay, refusal);
  std::vector<at::Tensor> directions = at::_foreach_lerp(m, gradients, 1 - beta1_);
  at::_foreach_sign_(directions);
  AddStep(group, directions, refusal);
  at::_foreach_lerp_(m, gradients, 1 - beta2_);
}

}  // namespace fastclip
