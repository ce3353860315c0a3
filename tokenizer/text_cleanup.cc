#include "tokenizer/text_cleanup.h"

#include "tokenizer/fix_text.h"
#include "tokenizer/html_entities.h"
#include "tokenizer/unicode_text.h"

namespace fastclip {
namespace {

// Python's str.isspace().
bool IsSpace(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

void CollapseSpace(std::u32string& text) {
  std::size_t size = 0;
  bool gap = false;
  for (const char32_t c : text) {
    if (IsSpace(c)) {
      gap = size > 0;
      continue;
    }
    if (gap) text[size++] = ' ';
    gap = false;
    text[size++] = c;
  }
  text.resize(size);
}

}  // namespace

std::string CleanCaption(std::string_view text) {
  std::u32string clean = UnescapeHtml(UnescapeHtml(FixText(DecodeUtf8(text))));
  CollapseSpace(clean);
  return EncodeUtf8(ToLower(std::move(clean)));
}

}  // namespace fastclip
