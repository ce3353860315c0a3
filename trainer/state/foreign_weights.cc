#include "trainer/state/foreign_weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "trainer/model/presets.h"

namespace fastclip {
namespace {

/// A word of a shell command.
std::string Quoted(const std::string& word) {
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

// Unpickles only tensors; a clone is contiguous and shares no memory, as the format requires.
constexpr const char* kConvert =
    "import sys, torch; from safetensors.torch import save_file; "
    "c = torch.load(sys.argv[1], map_location='cpu', weights_only=True); "
    "c = c.get('state_dict', c); "
    "save_file({k.removeprefix('module.'): v.clone().contiguous() for k, v in c.items()}, "
    "sys.argv[2])";

}  // namespace

std::string OtherFormat(const std::string& path, std::string_view first_bytes) {
  const bool zip = first_bytes.starts_with("PK\x03\x04");
  const bool pickle = first_bytes.size() >= 2 && first_bytes[0] == '\x80' && first_bytes[1] >= 2 &&
                      first_bytes[1] <= 5 &&
                      !first_bytes.substr(2).starts_with(std::string_view("\0\0\0\0", 4));
  if (zip || pickle) {
    std::string to = std::filesystem::path(path).replace_extension(".safetensors");
    if (to == path)
      to = std::filesystem::path(path).replace_extension("") += "-converted.safetensors";
    return fmt::format(
        "{} is a PyTorch checkpoint, but only .safetensors files can be read. Convert it with "
        "Python "
        "(torch and safetensors): python3 -c \"{}\" {} {}",
        path, kConvert, Quoted(path), Quoted(to));
  }
  if (first_bytes.starts_with("version https://git-lfs")) {
    return fmt::format("{} is a Git LFS pointer; run git lfs pull in its repository", path);
  }
  if (first_bytes.starts_with("<!DOCTYPE") || first_bytes.starts_with("<html")) {
    return fmt::format("{} is a web page; download the file itself", path);
  }
  return "";
}

std::string PublishedName(const std::string& path, const std::string& model) {
  if (path.find_first_of("/.") != path.npos || std::filesystem::exists(path)) return "";
  // OpenAI's weights were trained with QuickGELU.
  const std::vector<std::string> presets = ModelPresets();
  const bool quick =
      path == "openai" && std::ranges::find(presets, model + "-quickgelu") != presets.end();
  const std::string preset = model + (quick ? "-quickgelu" : "");
  return fmt::format(
      "'{}' is not a file, and published weights are not downloaded. Save them with Python "
      "(open_clip and safetensors): python3 -c \"import sys, open_clip; from safetensors.torch "
      "import "
      "save_file; m = open_clip.create_model(sys.argv[1], pretrained=sys.argv[2]); "
      "save_file({{k: v.clone().contiguous() for k, v in m.state_dict().items()}}, sys.argv[3])\" "
      "{} {} {}, then set the key to {}.safetensors{}",
      path, Quoted(preset), Quoted(path), Quoted(path + ".safetensors"), path,
      quick ? fmt::format(" and model.name to {}", preset) : "");
}

}  // namespace fastclip
