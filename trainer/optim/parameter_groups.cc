#include <ATen/core/Tensor.h>

#include "trainer/optim/optimizer.h"

namespace fastclip {

ParameterGroup GroupOf(const Parameter& parameter) {
  switch (parameter.role) {
    case Role::kTemperature:
      return ParameterGroup::kLogitScale;
    case Role::kNorm:
    case Role::kOffset:
    case Role::kAdded:
      return ParameterGroup::kNoDecay;
    case Role::kMatrix:
    case Role::kHead:
    case Role::kEmbedding:
      break;
  }
  return parameter.tensor.dim() < 2 ? ParameterGroup::kNoDecay : ParameterGroup::kDecay;
}

}  // namespace fastclip
