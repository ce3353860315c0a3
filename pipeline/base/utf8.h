#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace fastclip {

/// One character of a text in UTF-8.
struct Utf8Character {
  char32_t value = 0;
  int bytes = 0;  ///< 0: no character begins here
};

constexpr bool IsSurrogate(char32_t value) { return value >= 0xD800 && value < 0xE000; }

/// The character that begins at text[at]; `at` must be inside. A surrogate written in three bytes
/// is returned as such, like Python's "surrogatepass"; check IsSurrogate() for strict UTF-8.
constexpr Utf8Character Utf8At(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[at + i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return {first, 1};
  const int bytes = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  constexpr char32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  if (first < 0xC2 || first > 0xF4 || text.size() - at < static_cast<std::size_t>(bytes)) return {};
  char32_t value = first & (0x7FU >> bytes);
  for (int i = 1; i < bytes; ++i) {
    const unsigned char next = byte(static_cast<std::size_t>(i));
    if ((next & 0xC0) != 0x80) return {};
    value = value << 6 | (next & 0x3FU);
  }
  if (value < kSmallest[bytes] || value > 0x10FFFF) return {};
  return {value, bytes};
}

constexpr bool IsUtf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Character c = Utf8At(text, at);
    if (c.bytes == 0 || IsSurrogate(c.value)) return false;
    at += static_cast<std::size_t>(c.bytes);
  }
  return true;
}

/// `value` is at most U+10FFFF; a surrogate gets three bytes, as Utf8At() reads it.
inline void AppendUtf8(char32_t value, std::string& text) {
  const auto add = [&](char32_t byte) { text.push_back(static_cast<char>(byte)); };
  if (value < 0x80) return add(value);
  if (value < 0x800) {
    add(0xC0 | value >> 6);
  } else if (value < 0x10000) {
    add(0xE0 | value >> 12);
    add(0x80 | (value >> 6 & 0x3F));
  } else {
    add(0xF0 | value >> 18);
    add(0x80 | (value >> 12 & 0x3F));
    add(0x80 | (value >> 6 & 0x3F));
  }
  add(0x80 | (value & 0x3F));
}

}  // namespace fastclip
