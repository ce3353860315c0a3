#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace fastclip {

/// Unit size and byte order of a text.
struct TextEncoding {
  std::size_t unit = 1;  ///< bytes: UTF-8, UTF-16 or UTF-32
  bool big_endian = false;
  std::size_t mark = 0;  ///< bytes of the byte-order mark
};

/// Detected like Python's json.loads: by the mark, else by the zeros in the first two characters,
/// which are ASCII in any JSON.
TextEncoding EncodingOf(std::string_view text);

/// Converts UTF-16 or UTF-32 without its mark to UTF-8; nothing for invalid text. Surrogate pairs
/// stay two halves; the reader joins them.
std::optional<std::string> ToUtf8(std::string_view text, const TextEncoding& encoding);

}  // namespace fastclip
