#pragma once

#include <vector>

#include "trainer/base/named_tensors.h"
#include "trainer/base/parameter.h"

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

}  // namespace fastclip
