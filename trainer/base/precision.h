#pragma once

#include <c10/core/ScalarType.h>

#include <optional>
#include <string>
#include <vector>

namespace fastclip {

/// What train.precision stands for, in OpenCLIP's names: "fp32"; "fp64"; "amp_bf16", bfloat16
/// autocast; "amp", float16 autocast with a gradient scaler. Objectives, optimizers and evaluation
/// are in the parameters' type always.
struct Precision {
  at::ScalarType parameters = at::kFloat;
  std::optional<at::ScalarType> autocast;  ///< of the towers in training
  bool scales_gradients = false;
};

std::vector<std::string> PrecisionNames();
/// Throws std::invalid_argument that lists the names.
Precision PrecisionOf(const std::string& name);

}  // namespace fastclip
