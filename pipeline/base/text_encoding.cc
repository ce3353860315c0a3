#include "pipeline/base/text_encoding.h"

#include <cstdint>

#include "pipeline/base/utf8.h"

namespace fastclip {

TextEncoding EncodingOf(std::string_view text) {
  using namespace std::string_view_literals;
  if (text.starts_with("\xFF\xFE\0\0"sv)) return {4, false, 4};
  if (text.starts_with("\0\0\xFE\xFF"sv)) return {4, true, 4};
  if (text.starts_with("\xFF\xFE"sv)) return {2, false, 2};
  if (text.starts_with("\xFE\xFF"sv)) return {2, true, 2};
  if (text.starts_with("\xEF\xBB\xBF"sv)) return {1, false, 3};
  if (text.size() < 2) return {};
  if (text[0] == '\0')
    return text[1] != '\0' || text.size() < 4 ? TextEncoding{2, true} : TextEncoding{4, true};
  if (text[1] != '\0') return {};
  const bool wide = text.size() >= 4 && text[2] == '\0' && text[3] == '\0';
  return {wide ? std::size_t{4} : std::size_t{2}, false};
}

std::optional<std::string> ToUtf8(std::string_view text, const TextEncoding& encoding) {
  if (text.size() % encoding.unit != 0) return std::nullopt;
  std::string utf8;
  for (std::size_t at = 0; at < text.size(); at += encoding.unit) {
    std::uint32_t c = 0;
    for (std::size_t i = 0; i < encoding.unit; ++i) {
      const std::size_t place = encoding.big_endian ? i : encoding.unit - 1 - i;
      c = c << 8 | static_cast<unsigned char>(text[at + place]);
    }
    if (c > 0x10FFFF) return std::nullopt;
    AppendUtf8(c, utf8);
  }
  return utf8;
}

}  // namespace fastclip
