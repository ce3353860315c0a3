#include "trainer/model/presets.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>

#include "pipeline/base/nearest.h"
#include "pipeline/files/program_folder.h"
#include "trainer/base/config_table.h"

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

/// Letters and digits, small: "ViT-B/32" is vitb32.
std::string Plain(std::string_view name) {
  std::string plain;
  for (const char c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)))
      plain += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return plain;
}

/// What tells models apart: the letter before the numbers, and the numbers. "ViT-L-14" is l14.
std::string SizeOf(const std::string& plain) {
  const std::size_t first = plain.find_first_of("0123456789");
  if (first == plain.npos) return "";
  std::string size = plain.substr(first > 0 ? first - 1 : 0, 1);
  for (const char c : plain) {
    if (std::isdigit(static_cast<unsigned char>(c))) size += c;
  }
  return size;
}

/// The preset of that size that `name` may be a slip for; "": none. ViT-H-14 is not ViT-L-14.
std::string SlipFor(const std::string& name, const std::vector<std::string>& presets) {
  constexpr std::size_t kSlip = 3;
  const std::size_t slash = name.rfind('/');
  const bool in_folder = slash != name.npos && slash + 1 < name.size() &&
                         std::isalpha(static_cast<unsigned char>(name[slash + 1]));
  const std::string plain = Plain(in_folder ? name.substr(slash + 1) : name);
  std::vector<std::string> alike;
  for (const std::string& preset : presets) {
    if (SizeOf(Plain(preset)) == SizeOf(plain)) alike.push_back(Plain(preset));
  }
  const std::string near = Nearest(plain, alike, kSlip);
  if (near.empty()) return "";
  return *std::ranges::find(presets, near, Plain);
}

/// Presets that a mistyped name can mean. A model with the other activation would load the same
/// weights and be silently worse.
std::vector<std::string> SameActivation(const std::string& name,
                                        const std::vector<std::string>& names) {
  const auto is_quick = [](std::string_view name) {
    return std::ranges::search(name, std::string_view("quick"), {}, [](unsigned char c) {
             return std::tolower(c);
           }).size() > 0;
  };
  std::vector<std::string> alike;
  std::ranges::copy_if(names, std::back_inserter(alike),
                       [&](const std::string& other) { return is_quick(other) == is_quick(name); });
  return alike.empty() ? names : alike;
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
  const std::vector<std::string> alike = SameActivation(name_or_path, names);
  const std::string near = SlipFor(name_or_path, alike);
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
