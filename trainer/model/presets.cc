#include "trainer/model/presets.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>
#include <stdexcept>
#include <string_view>

#define TOML_EXCEPTIONS 1
#include <toml++/toml.h>

namespace fastclip {
namespace {

namespace fs = std::filesystem;

// Beside the source for a build folder (build/fastclip, build/tests/…), the install tree, the
// working directory.
std::vector<fs::path> PresetFolders() {
  std::error_code ignored;
  const fs::path here = fs::read_symlink("/proc/self/exe", ignored).parent_path();
  std::vector<fs::path> folders;
  for (const char* place : {"../configs", "../share/fastclip/configs", "../../configs"}) {
    if (!here.empty()) folders.push_back(here / place / "models");
  }
  folders.push_back("configs/models");
  return folders;
}

std::size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t corner = std::exchange(row[0], i + 1);
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = corner + (a[i] == b[j] ? 0 : 1);
      corner = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

std::string Nearest(std::string_view word, const std::vector<std::string>& words) {
  return *std::min_element(words.begin(), words.end(), [&](const auto& a, const auto& b) {
    return EditDistance(word, a) < EditDistance(word, b);
  });
}

// Reads a table's keys into fields, then refuses the keys that nobody asked for.
class TableReader {
 public:
  TableReader(const std::string& file, const toml::table& table, std::string section)
      : file_(file), table_(table), section_(std::move(section)) {}

  template <class T>
  void Read(const char* key, T& field) {
    known_.push_back(key);
    const toml::node* node = table_.get(key);
    if (node == nullptr) return;
    // A whole number is a fraction too, never the reverse.
    const auto value = node->value<T>();
    const bool right_kind = std::is_same_v<T, bool>     ? node->is_boolean()
                            : std::is_same_v<T, double> ? node->is_number()
                                                        : node->is_integer();
    if (!right_kind || !value)
      Fail(*node, fmt::format("{}{} must be {}", section_, key, KindOf<T>()));
    field = *value;
  }
  const toml::table* Table(const char* key) {
    known_.push_back(key);
    const toml::node* node = table_.get(key);
    if (node != nullptr && !node->is_table()) Fail(*node, fmt::format("{} must be a section", key));
    return node == nullptr ? nullptr : node->as_table();
  }
  void RefuseOthers() const {
    for (const auto& [key, node] : table_) {
      if (std::find(known_.begin(), known_.end(), key.str()) != known_.end()) continue;
      Fail(node, fmt::format("there is no key '{}{}'; the nearest is '{}{}'", section_, key.str(),
                             section_, Nearest(key.str(), known_)));
    }
  }

 private:
  template <class T>
  static const char* KindOf() {
    return std::is_same_v<T, bool>     ? "true or false"
           : std::is_same_v<T, double> ? "a number"
                                       : "a whole number";
  }
  [[noreturn]] void Fail(const toml::node& node, const std::string& what) const {
    throw std::runtime_error(fmt::format("{}:{}: {}", file_, node.source().begin.line, what));
  }

  const std::string& file_;
  const toml::table& table_;
  std::string section_;
  std::vector<std::string> known_;
};

ModelConfig ReadModelFile(const std::string& file) {
  toml::table table;
  try {
    table = toml::parse_file(file);
  } catch (const toml::parse_error& error) {
    throw std::runtime_error(
        fmt::format("{}:{}: {}", file, error.source().begin.line, error.description()));
  }
  ModelConfig config;
  config.name = fs::path(file).stem();
  TableReader top(file, table, "");
  top.Read("embed_dim", config.embed_dim);
  top.Read("quick_gelu", config.quick_gelu);
  if (const toml::table* vision = top.Table("vision")) {
    TableReader reader(file, *vision, "vision.");
    reader.Read("image_size", config.vision.image_size);
    reader.Read("patch_size", config.vision.patch_size);
    reader.Read("width", config.vision.width);
    reader.Read("layers", config.vision.layers);
    reader.Read("head_width", config.vision.head_width);
    reader.Read("mlp_ratio", config.vision.mlp_ratio);
    reader.RefuseOthers();
  }
  if (const toml::table* text = top.Table("text")) {
    TableReader reader(file, *text, "text.");
    reader.Read("context_length", config.text.context_length);
    reader.Read("vocab_size", config.text.vocab_size);
    reader.Read("width", config.text.width);
    reader.Read("heads", config.text.heads);
    reader.Read("layers", config.text.layers);
    reader.Read("mlp_ratio", config.text.mlp_ratio);
    reader.RefuseOthers();
  }
  top.RefuseOthers();
  try {
    CheckModelConfig(config);
  } catch (const std::invalid_argument& error) {
    throw std::runtime_error(fmt::format("{}: {}", file, error.what()));
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
    throw std::runtime_error(fmt::format(
        "model '{}': no presets found; keep configs/ beside build/ or in share/fastclip/",
        name_or_path));
  }
  throw std::runtime_error(
      fmt::format("there is no model '{}'; the nearest is '{}' (of {}), or give a file *.toml",
                  name_or_path, Nearest(name_or_path, names), fmt::join(names, ", ")));
}

std::string OpenClipJson(const ModelConfig& config) {
  const VisionConfig& vision = config.vision;
  const TextConfig& text = config.text;
  return nlohmann::ordered_json{{"embed_dim", config.embed_dim},
                                {"quick_gelu", config.quick_gelu},
                                {"vision_cfg",
                                 {{"image_size", vision.image_size},
                                  {"patch_size", vision.patch_size},
                                  {"width", vision.width},
                                  {"layers", vision.layers},
                                  {"head_width", vision.head_width},
                                  {"mlp_ratio", vision.mlp_ratio}}},
                                {"text_cfg",
                                 {{"context_length", text.context_length},
                                  {"vocab_size", text.vocab_size},
                                  {"width", text.width},
                                  {"heads", text.heads},
                                  {"layers", text.layers},
                                  {"mlp_ratio", text.mlp_ratio}}}}
      .dump();
}

}  // namespace fastclip
