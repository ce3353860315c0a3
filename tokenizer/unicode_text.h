#pragma once

#include <string>
#include <string_view>

namespace fastclip {

/// Unicode functions (ICU) on text with one code point per element.

/// Invalid UTF-8: each longest valid prefix of a character, or else each byte, becomes U+FFFD.
std::u32string DecodeUtf8(std::string_view text);
std::string EncodeUtf8(std::u32string_view text);

std::u32string ToNfc(std::u32string text);
std::u32string ToNfkc(std::u32string_view text);

/// Full, locale-independent mappings, like Python's lower() and upper(): final sigma, "ß" to "SS".
std::u32string ToLower(std::u32string text);
std::u32string ToUpper(std::u32string_view text);

}  // namespace fastclip
