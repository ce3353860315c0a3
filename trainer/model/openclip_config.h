#pragma once

#include <optional>
#include <string>

#include "trainer/model/clip_model.h"

namespace fastclip {

/// Parses an OpenCLIP model config, as written by OpenClipJson() or found in OpenCLIP's
/// model_configs/*.json; missing keys have OpenCLIP's defaults. Throws std::runtime_error if it is
/// not JSON or the model is unsupported (with what DifferenceFrom says).
ModelConfig ModelOfOpenClipJson(const std::string& json, const std::string& name);

/// A difference between two models, under the key of our model files.
struct ModelDifference {
  std::string key;           ///< "quick_gelu", "vision.head_width", …
  std::string theirs, ours;  ///< values; "none" if a model does not have it
};
/// The first difference between an OpenCLIP config and `ours`. Differences that tensor shapes do
/// not show come first. The initial logit bias is ignored.
std::optional<ModelDifference> DifferenceFrom(const std::string& json, const ModelConfig& ours);

}  // namespace fastclip
