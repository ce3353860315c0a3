#include "pipeline/base/printable.h"

#include <fmt/format.h>

#include "pipeline/base/utf8.h"

namespace fastclip {
namespace {

bool IsHarmless(char32_t c) {
  if (c < 0x20 || (c >= 0x7F && c < 0xA0)) return false;
  const bool is_direction = c == 0x061C || c == 0x200E || c == 0x200F ||
                            (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
  const bool is_line_break = c == 0x2028 || c == 0x2029;
  return !is_direction && !is_line_break && !IsSurrogate(c);
}

void AppendEscaped(std::string_view bytes, std::string& out) {
  static constexpr char kDigits[] = "0123456789abcdef";
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    out += "\\x";
    out += kDigits[byte >> 4];
    out += kDigits[byte & 15];
  }
}

std::string Escaped(std::string_view text, bool keep_line_breaks) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Character c = Utf8At(text, at);
    const std::string_view bytes = text.substr(at, c.bytes == 0 ? 1 : c.bytes);
    if (c.bytes > 0 && (IsHarmless(c.value) || (keep_line_breaks && c.value == '\n'))) {
      out += bytes;
    } else {
      AppendEscaped(bytes, out);
    }
    at += bytes.size();
  }
  return out;
}

}  // namespace

std::string Printable(std::string_view text) {
  if (text.size() <= kMaxPrintedBytes) return Escaped(text, /*keep_line_breaks=*/false);
  std::size_t end = kMaxPrintedBytes;
  // At most three steps back over the continuation bytes of one character.
  for (int i = 0; i < 3 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80; ++i) --end;
  return Escaped(text.substr(0, end), /*keep_line_breaks=*/false) + "…";
}

std::string PrintableLines(std::string_view text) {
  return Escaped(text, /*keep_line_breaks=*/true);
}

std::string Counted(std::int64_t count, std::string_view noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

}  // namespace fastclip
