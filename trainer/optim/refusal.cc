#include "trainer/optim/refusal.h"

#include <ATen/ATen.h>

namespace fastclip {

Refusal::Refusal(const at::Tensor& refused) {
  if (refused.is_cpu()) {
    known_ = refused.item<bool>();
  } else {
    mask_ = refused;
    on_device_ = refused.to(at::kFloat);
  }
}

at::Tensor Refusal::Choose(const at::Tensor& before, const at::Tensor& after) const {
  return mask_.defined() ? at::where(mask_, before, after) : after;
}

}  // namespace fastclip
