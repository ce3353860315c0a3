#include "pipeline/base/json_path.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string_view>

namespace fastclip {

std::optional<std::vector<std::string>> ParseJsonPath(const std::string& text, const char* what) {
  static constexpr std::string_view kJson = "json.";
  if (!text.starts_with(kJson)) return std::nullopt;
  std::vector<std::string> path;
  for (std::size_t start = kJson.size(); start <= text.size();) {
    const std::size_t end = std::min(text.find('.', start), text.size());
    path.push_back(text.substr(start, end - start));
    if (path.back().empty()) {
      throw std::invalid_argument(
          fmt::format("{} '{}': use json.NAME, or json.A.B for field B of A", what, text));
    }
    start = end + 1;
  }
  return path;
}

const nlohmann::ordered_json* FindAt(const nlohmann::ordered_json& object,
                                     std::span<const std::string> path) {
  const nlohmann::ordered_json* node = &object;
  for (const std::string& name : path) {
    if (!node->is_object()) return nullptr;
    const auto found = node->find(name);
    if (found == node->end()) return nullptr;
    node = &*found;
  }
  return node;
}

}  // namespace fastclip
