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
  /// Under autocast: residual streams of the transformers in float32, not in the lower precision.
  bool image_residual_fp32 = false, text_residual_fp32 = true;
};

std::vector<std::string> PrecisionNames();
/// Meaning of train.residual: "auto": as in OpenCLIP, the text tower's in float32; "fp32": both;
/// "half": none.
std::vector<std::string> ResidualNames();
/// Throws std::invalid_argument that lists the names.
Precision PrecisionOf(const std::string& name, const std::string& residual = "auto");

}  // namespace fastclip
