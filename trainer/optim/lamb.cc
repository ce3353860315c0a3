#include <ATen/ATen.h>

#include "trainer/optim/update_rules.h"

namespace fastclip {
namespace {

// ‖p‖/‖r‖ of each pair, 1 where either is 0. They stay tensors: reading one would make a GPU wait.
std::vector<at::Tensor> TrustRatios(const std::vector<at::Tensor>& parameters,
                                    const std::vector<at::Tensor>& updates) {
  const at::Tensor p = at::stack(at::_foreach_norm(parameters));  // [tensors]
  const at::Tensor r = at::stack(at::_foreach_norm(updates));
  return at::where(p.eq(0).logical_or(r.eq(0)), at::ones_like(p), p / r).unbind();
}

void Update(const OptimizerOptions& options, const UpdateGroup& group) {
  const std::vector<at::Tensor>& m = group.state[0];
  const std::vector<at::Tensor>& v = group.state[1];
  // m ← β1·m + (1−β1)·g,  v ← β2·v + (1−β2)·g²
  at::_foreach_lerp_(m, group.GradientsOr(m), 1 - options.beta1);
  group.Multiply(v, options.beta2);
  const std::vector<at::Tensor> g =
      group.GradientsOr(std::vector(v.size(), at::zeros({}, v.front().options())));
  at::_foreach_addcmul_(v, g, g, 1 - options.beta2);

  // 1/(1−βᵏ): in double, then in the dtype of the lists that they scale.
  const auto unbias = [&](double beta) {
    return (1 - at::pow(beta, group.step.to(at::kDouble).clamp_min(1))).reciprocal();
  };
  const at::ScalarType dtype = m.front().scalar_type();
  // r = m̂/(√v̂ + eps), worked out in one list: it is as large as the group.
  std::vector<at::Tensor> r = at::_foreach_sqrt(v);
  at::_foreach_mul_(r, unbias(options.beta2).sqrt().to(dtype));
  at::_foreach_add_(r, options.eps);
  at::_foreach_reciprocal_(r);
  at::_foreach_mul_(r, m);
  at::_foreach_mul_(r, unbias(options.beta1).to(dtype));
  if (group.weight_decay != 0) {
    at::_foreach_add_(r, group.parameters, group.weight_decay);
    at::_foreach_mul_(r, TrustRatios(group.parameters, r));
  }
  group.Subtract(r);
}

}  // namespace

UpdateRule LambRule(const OptimizerOptions& options) {
  return {.kinds = {"exp_avg", "exp_avg_sq"},
          .temperature_kinds = {"exp_avg", "exp_avg_sq"},
          .update = [options](const UpdateGroup& group) { Update(options, group); }};
}

}  // namespace fastclip
