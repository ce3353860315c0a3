#pragma once

#include <string_view>

namespace fastclip {

/// Whether lists and objects of a JSON text lie deeper in each other than any file of ours or of
/// OpenCLIP's: nlohmann::json copies and writes them by recursion, so deep ones end the process.
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
