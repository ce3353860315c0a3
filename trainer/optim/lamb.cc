#include "trainer/optim/lamb.h"

#include <ATen/ATen.h>

namespace fastclip {
namespace {

// ‖p‖/‖r‖ of each pair, 1 where either is 0. They stay tensors: reading one would make a GPU wait.
std::vector<at::Tensor> TrustRatios(const std::vector<at::Tensor>& parameters,
                                    const std::vector<at::Tensor>& updates) {
  const at::Tensor p = at::stack(at::_foreach_norm(parameters));  // [tensors]
  const at::Tensor r = at::stack(at::_foreach_norm(updates));
  return at::where(p.eq(0).logical_or(r.eq(0)), at::ones_like(p), p / r).unbind();
}

}  // namespace

Lamb::Lamb(const std::vector<Parameter>& parameters, const OptimizerOptions& options)
    : GroupedOptimizer(parameters, options.weight_decay, {"exp_avg", "exp_avg_sq"},
                       {"exp_avg", "exp_avg_sq"}),
      beta1_(options.beta1),
      beta2_(options.beta2),
      eps_(options.eps) {}

void Lamb::Update(const Group& group, const Refusal& refusal) {
  const std::vector<at::Tensor>& m = group.state[0];
  const std::vector<at::Tensor>& v = group.state[1];
  const at::Tensor none = at::zeros({}, m.front().options());
  // m ← β1·m + (1−β1)·g,  v ← β2·v + (1−β2)·g²
  at::_foreach_lerp_(m, GradientsOr(m, group, refusal), 1 - beta1_);
  Multiply(v, beta2_, refusal);
  const std::vector<at::Tensor> g = GradientsOr(std::vector(v.size(), none), group, refusal);
  at::_foreach_addcmul_(v, g, g, 1 - beta2_);

  // 1/(1−βᵏ): in double, then in the dtype of the lists that they scale.
  const auto unbias = [&](double beta) {
    return (1 - at::pow(beta, step().to(at::kDouble).clamp_min(1))).reciprocal();
  };
  const at::ScalarType dtype = m.front().scalar_type();
  // r = m̂/(√v̂ + eps), worked out in one list: it is as large as the group.
  std::vector<at::Tensor> r = at::_foreach_sqrt(v);
  at::_foreach_mul_(r, unbias(beta2_).sqrt().to(dtype));
  at::_foreach_add_(r, eps_);
  at::_foreach_reciprocal_(r);
  at::_foreach_mul_(r, m);
  at::_foreach_mul_(r, unbias(beta1_).to(dtype));
  if (group.weight_decay != 0) {
    at::_foreach_add_(r, group.parameters, group.weight_decay);
    at::_foreach_mul_(r, TrustRatios(group.parameters, r));
  }
  AddStep(group, r, refusal);
}

}  // namespace fastclip
