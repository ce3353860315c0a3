#pragma once

#include <c10/core/ScalarType.h>

#include <optional>
#include <string>
#include <vector>

namespace fastclip {

/// Meaning of train.precision, in OpenCLIP's names: "fp32"; "fp64"; "amp_bf16": bfloat16 autocast;
/// "amp": float16 autocast with a gradient scaler. Objectives, optimizers and evaluation always use
/// the parameters' type.
struct Precision {
  at::ScalarType parameters = at::kFloat;
  std::optional<at::ScalarType> autocast;  ///< of the towers in training
  bool scales_gradients = false;
};

std::vector<std::string> PrecisionNames();
/// Throws std::invalid_argument that lists the names.
Precision PrecisionOf(const std::string& name);

}  // namespace fastclip
