#include "trainer/model/presets.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>

#include "pipeline/files/program_folder.h"
#include "trainer/base/config_table.h"
#include "trainer/model/preset_meant.h"

namespace fastclip {
namespace {

namespace fs = std::filesystem;

// Beside the source for a build folder (build/fastclip, build/tests/…), the install tree, the
// working directory.
std::vector<fs::path> PresetFolders() {
  const fs::path& here = ProgramFolder();
  std::vector<fs::path> folders;
  for (const char* place : {"../configs", "../share/fastclip/configs", "../../configs"}) {
    if (!here.empty()) folders.push_back(here / place / "models");
  }
  folders.push_back("configs/models");
  return folders;
}

void Bind(ModelConfig& config, ConfigTable& table) {
  constexpr std::int64_t kMost = 1 << 24;
  const auto size = [&](const char* key, std::int64_t& field) {
    table.Integer(key, field, 1, kMost);
  };
  size("embed_dim", config.embed_dim);
  table.Flag("quick_gelu", config.quick_gelu);
  size("vision.image_size", config.vision.image_size);
  size("vision.patch_size", config.vision.patch_size);
  size("vision.width", config.vision.width);
  table.IntegerOrList("vision.layers", config.vision.layers, config.vision.resnet_layers, 4, 1,
                      kMost);
  size("vision.head_width", config.vision.head_width);
  table.Real("vision.mlp_ratio", config.vision.mlp_ratio, 0, 1024);
  size("text.context_length", config.text.context_length);
  size("text.vocab_size", config.text.vocab_size);
  size("text.width", config.text.width);
  size("text.heads", config.text.heads);
  size("text.layers", config.text.layers);
  table.Real("text.mlp_ratio", config.text.mlp_ratio, 0, 1024);
}

ModelConfig ReadModelFile(const std::string& file) {
  ModelConfig config;
  config.name = fs::path(file).stem();
  ConfigTable table;
  Bind(config, table);
  table.ReadFile(file);
  for (const char* key : {"vision.patch_size", "vision.mlp_ratio"}) {
    if (config.vision.is_resnet() && table.Origin(key) != "the default") {
      throw table.Error(key, "not valid for a ResNet (vision.layers is a list); remove it");
    }
  }
  try {
    CheckModelConfig(config);
  } catch (const std::invalid_argument& error) {
    throw ConfigError(fmt::format("{}: {}", file, error.what()));
  }
  return config;
}

}  // namespace

std::vector<std::string> ModelPresets() {
  std::set<std::string> names;
  for (const fs::path& folder : PresetFolders()) {
    std::error_code absent;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder, absent)) {
      if (entry.path().extension() == ".toml") names.insert(entry.path().stem());
    }
  }
  return {names.begin(), names.end()};
}

ModelConfig LoadModelConfig(const std::string& name_or_path) {
  if (name_or_path.ends_with(".toml")) return ReadModelFile(name_or_path);
  if (name_or_path.find('/') == std::string::npos) {
    for (const fs::path& folder : PresetFolders()) {
      const fs::path file = folder / (name_or_path + ".toml");
      std::error_code absent;
      if (fs::is_regular_file(file, absent)) return ReadModelFile(file.lexically_normal());
    }
  }
  const std::vector<std::string> names = ModelPresets();
  if (names.empty()) {
    throw ConfigError(fmt::format(
        "model '{}': no presets found; configs/ must be next to build/ or in share/fastclip/",
        name_or_path));
  }
  const std::string near = PresetMeant(name_or_path, names);
  throw ConfigError(fmt::format(
      "model '{}' is not available{} Presets: {}; or use a model file (*.toml)", name_or_path,
      near.empty() ? "." : "; did you mean '" + near + "'?", fmt::join(names, ", ")));
}

std::string OpenClipJson(const ModelConfig& config) {
  const VisionConfig& vision = config.vision;
  const TextConfig& text = config.text;
  nlohmann::ordered_json vision_cfg = {{"image_size", vision.image_size},
                                       {"width", vision.width},
                                       {"head_width", vision.head_width}};
  if (vision.is_resnet()) {
    vision_cfg["layers"] = vision.resnet_layers;
    vision_cfg["patch_size"] = nullptr;
  } else {
    vision_cfg["layers"] = vision.layers;
    vision_cfg["patch_size"] = vision.patch_size;
    vision_cfg["mlp_ratio"] = vision.mlp_ratio;
  }
  nlohmann::ordered_json json{{"embed_dim", config.embed_dim},
                              {"quick_gelu", config.quick_gelu},
                              {"vision_cfg", vision_cfg},
                              {"text_cfg",
                               {{"context_length", text.context_length},
                                {"vocab_size", text.vocab_size},
                                {"width", text.width},
                                {"heads", text.heads},
                                {"layers", text.layers},
                                {"mlp_ratio", text.mlp_ratio}}}};
  if (config.init_logit_bias) json["init_logit_bias"] = *config.init_logit_bias;
  return json.dump();
}

}  // namespace fastclip
