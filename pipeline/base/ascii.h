#pragma once

#include <algorithm>
#include <string_view>

namespace fastclip {

/// Lower case of A to Z; any other byte is unchanged. Ignores the locale.
constexpr char LowerAscii(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

/// Whether `text` equals `lower`, which must be lower case, ignoring ASCII case.
inline bool EqualsInAnyCase(std::string_view text, std::string_view lower) {
  return std::ranges::equal(text, lower, {}, LowerAscii);
}

}  // namespace fastclip
