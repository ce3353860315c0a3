#pragma once

#include <string>
#include <vector>

#include "trainer/model/clip_model.h"

namespace fastclip {

/// Names of the models that configs/models/ describes ("ViT-B-32", …, "tiny").
std::vector<std::string> ModelPresets();
/// A preset by name, or a model file (*.toml) by path. Throws ConfigError that names the nearest
/// preset, or the file's line and nearest key.
ModelConfig LoadModelConfig(const std::string& name_or_path);

/// The config in OpenCLIP's words, as JSON: what its model_configs/*.json hold.
std::string OpenClipJson(const ModelConfig& config);

}  // namespace fastclip
