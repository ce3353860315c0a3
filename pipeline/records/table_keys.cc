#include "pipeline/records/table_keys.h"

#include <stdexcept>

#include "pipeline/base/ascii.h"

namespace fastclip {

char ParseSeparator(const std::string& text) {
  if (text == "tab" || text == "\\t") return '\t';
  const bool one = text.size() == 1 && (text[0] == '\t' || (text[0] >= ' ' && text[0] < 0x7F));
  const bool plain = one && text[0] != '"' && !(text[0] >= '0' && text[0] <= '9') &&
                     !(LowerAscii(text[0]) >= 'a' && LowerAscii(text[0]) <= 'z');
  if (!plain) throw std::invalid_argument("'" + text + "': use one character, as in ';', or tab");
  return text[0];
}

}  // namespace fastclip
