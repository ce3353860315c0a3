#pragma once

#include <string_view>

namespace fastclip {

/// Whether a JSON text is nested deeper than any file of this project or of OpenCLIP.
/// nlohmann::json copies and writes by recursion, so deep nesting would crash the process.
constexpr bool IsTooDeepJson(std::string_view text) {
  constexpr int kMost = 64;
  int depth = 0;
  bool in_text = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_text) {
      if (c == '\\') ++i;
      if (c == '"') in_text = false;
    } else if (c == '"') {
      in_text = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kMost) return true;
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return false;
}

}  // namespace fastclip
