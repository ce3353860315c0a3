#include "trainer/optim/update_rules.h"

#include <ATen/ATen.h>

namespace fastclip {

std::vector<at::Tensor> UpdateGroup::GradientsOr(const std::vector<at::Tensor>& these) const {
  std::vector<at::Tensor> chosen = gradients;
  if (!refusal.on_device().defined()) return chosen;
  for (std::size_t i = 0; i < chosen.size(); ++i) chosen[i] = refusal.Choose(these[i], chosen[i]);
  return chosen;
}

void UpdateGroup::Multiply(const std::vector<at::Tensor>& list, double factor) const {
  if (!refusal.on_device().defined()) {
    at::_foreach_mul_(list, factor);
    return;
  }
  const at::Tensor masked = 1 + (1 - refusal.on_device().to(at::kDouble)) * (factor - 1);
  at::_foreach_mul_(list, masked.to(list.front().scalar_type()));
}

void UpdateGroup::Decay() const {
  if (weight_decay == 0) return;
  if (!lr_on_device.defined()) return Multiply(parameters, 1 - lr * weight_decay);
  const at::Tensor decay = lr_on_device.to(at::kDouble) * weight_decay;
  const at::Tensor masked =
      1 -
      (refusal.on_device().defined() ? (1 - refusal.on_device().to(at::kDouble)) * decay : decay);
  at::_foreach_mul_(parameters, masked.to(parameters.front().scalar_type()));
}

void UpdateGroup::Subtract(std::vector<at::Tensor>& list) const {
  const at::ScalarType dtype = list.front().scalar_type();
  if (refusal.on_device().defined()) {
    at::_foreach_mul_(list, (1 - refusal.on_device()).to(dtype));
  }
  if (lr_on_device.defined()) {
    at::_foreach_mul_(list, lr_on_device.to(dtype));
    at::_foreach_sub_(parameters, list);
  } else {
    at::_foreach_add_(parameters, list, -lr);
  }
}

}  // namespace fastclip
