#pragma once

#include <algorithm>
#include <string_view>

namespace fastclip {

/// A to Z made small; any other byte as it is, whatever the locale.
constexpr char LowerAscii(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

/// Whether `text` is `lower`, which has no capitals, in any case.
inline bool EqualsInAnyCase(std::string_view text, std::string_view lower) {
  return std::ranges::equal(text, lower, {}, LowerAscii);
}

}  // namespace fastclip
