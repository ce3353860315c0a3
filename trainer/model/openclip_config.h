#pragma once

#include <optional>
#include <string>

#include "trainer/model/clip_model.h"

namespace fastclip {

/// The model that a config in OpenCLIP's words describes, as OpenClipJson() writes them or
/// OpenCLIP's model_configs/*.json hold them; what it leaves out has OpenCLIP's default. Throws
/// std::runtime_error: no JSON, or a model that does not exist here (DifferenceFrom says which).
ModelConfig ModelOfOpenClipJson(const std::string& json, const std::string& name);

/// What a model has and another has not, under the key of our model files.
struct ModelDifference {
  std::string key;           ///< "quick_gelu", "vision.head_width", …
  std::string theirs, ours;  ///< values; "none" where a model has no such thing
};
/// The first difference between a config in OpenCLIP's words and `ours`, those first that the
/// shapes of weights do not show. The bias at the start does not count.
std::optional<ModelDifference> DifferenceFrom(const std::string& json, const ModelConfig& ours);

}  // namespace fastclip
