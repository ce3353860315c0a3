#pragma once

#include <string>
#include <vector>

#include "trainer/base/named_tensors.h"
#include "trainer/base/parameter.h"
#include "trainer/optim/optimizer.h"

namespace fastclip {

/// Parameters of no model: logit_scale is the temperature, what has two dimensions a matrix, the
/// rest offsets.
inline std::vector<Parameter> WithRoles(const NamedTensors& tensors) {
  std::vector<Parameter> parameters;
  for (const auto& [name, tensor] : tensors) {
    const Role role = name == "logit_scale" ? Role::kTemperature
                      : tensor.dim() >= 2   ? Role::kMatrix
                                            : Role::kOffset;
    tensor.requires_grad_();
    parameters.push_back({.name = name, .tensor = tensor, .role = role});
  }
  return parameters;
}

/// fast_clip's rule, by names, with which the published recipes were trained.
inline ParameterGroup PublishedGroup(const std::string& name, const at::Tensor& tensor) {
  const auto holds = [&](const char* part) { return name.find(part) != std::string::npos; };
  if (holds("logit_scale")) return ParameterGroup::kLogitScale;
  return tensor.dim() < 2 || holds("bn") || holds("ln") || holds("bias") ? ParameterGroup::kNoDecay
                                                                         : ParameterGroup::kDecay;
}

}  // namespace fastclip
