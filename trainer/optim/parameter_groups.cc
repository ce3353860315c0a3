#include <ATen/core/Tensor.h>

#include "trainer/optim/optimizer.h"

namespace fastclip {

ParameterGroup GroupOf(const std::string& name, const at::Tensor& parameter) {
  const auto holds = [&](const char* part) { return name.find(part) != std::string::npos; };
  if (holds("logit_scale")) return ParameterGroup::kLogitScale;
  if (parameter.dim() < 2 || holds("bn") || holds("ln") || holds("bias")) {
    return ParameterGroup::kNoDecay;
  }
  return ParameterGroup::kDecay;
}

}  // namespace fastclip
