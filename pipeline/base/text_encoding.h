#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace fastclip {

/// In which units a text is written, and which of their bytes comes first.
struct TextEncoding {
  std::size_t unit = 1;  ///< bytes: UTF-8, UTF-16 or UTF-32
  bool big_endian = false;
  std::size_t mark = 0;  ///< bytes of the byte-order mark
};

/// As Python's json.loads tells it: by the mark, else by where the zeros are in the first two
/// characters, which are ASCII in any JSON.
TextEncoding EncodingOf(std::string_view text);

/// UTF-16 or UTF-32 without its mark, as UTF-8; nothing for what is neither. Each half of a
/// surrogate pair stays a half: its reader joins them.
std::optional<std::string> ToUtf8(std::string_view text, const TextEncoding& encoding);

}  // namespace fastclip
