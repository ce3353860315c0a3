#pragma once

#include <string>
#include <vector>

#include "trainer/model/clip_model.h"

namespace fastclip {

/// Names of the models in configs/models/ ("ViT-B-32", …, "tiny").
std::vector<std::string> ModelPresets();
/// Loads a preset by name, or a model file (*.toml) by path. Throws ConfigError with the nearest
/// preset, or the file's line and nearest key.
ModelConfig LoadModelConfig(const std::string& name_or_path);

/// The config as JSON in the format of OpenCLIP's model_configs/*.json.
std::string OpenClipJson(const ModelConfig& config);

}  // namespace fastclip
