#include "tokenizer/fix_text.h"

#include <unicode/uchar.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "tokenizer/html_entities.h"
#include "tokenizer/unicode_text.h"

namespace fastclip {
namespace {

// As ftfy: a line longer than this is fixed in parts.
constexpr std::size_t kSegmentLimit = 1'000'000;

// Half- and full-width forms U+FF01 to U+FFEF in their usual width.
const std::u32string& UsualWidth(char32_t c) {
  static const auto forms = [] {
    std::array<std::u32string, 0xFFF0 - 0xFF01> table;
    for (char32_t i = 0; i < table.size(); ++i) {
      table[i] = ToNfkc(std::u32string(1, 0xFF01 + i));
    }
    return table;
  }();
  return forms[c - 0xFF01];
}

const char32_t* Ligature(char32_t c) {
  switch (c) {
    case 0x0132:
      return U"IJ";
    case 0x0133:
      return U"ij";
    case 0x0149:
      return U"'n";
    case 0x01C4:
      return U"D\u017D";
    case 0x01C5:
      return U"D\u017E";
    case 0x01C6:
      return U"d\u017E";
    case 0x01C7:
      return U"LJ";
    case 0x01C8:
      return U"Lj";
    case 0x01C9:
      return U"lj";
    case 0x01CA:
      return U"NJ";
    case 0x01CB:
      return U"Nj";
    case 0x01CC:
      return U"nj";
    case 0x01F1:
      return U"DZ";
    case 0x01F2:
      return U"Dz";
    case 0x01F3:
      return U"dz";
    case 0xFB00:
      return U"ff";
    case 0xFB01:
      return U"fi";
    case 0xFB02:
      return U"fl";
    case 0xFB03:
      return U"ffi";
    case 0xFB04:
      return U"ffl";
    case 0xFB05:
      return U"\u017Ft";
    case 0xFB06:
      return U"st";
    default:
      return nullptr;
  }
}

constexpr char32_t kEscape = 0x1B;

bool IsUnwantedControl(char32_t c) {
  return c <= 0x08 || c == 0x0B || (c >= 0x0E && c <= 0x1F) || c == 0x7F ||
         (c >= 0x206A && c <= 0x206F) || c == 0xFEFF || (c >= 0xFFF9 && c <= 0xFFFC);
}

// Appends `c` as ftfy's character maps leave it; only ESC waits for RemoveTerminalEscapes().
void AppendFixed(char32_t c, std::u32string& out) {
  if (c >= 0x80 && c <= 0x9F) c = Windows1252(c);
  if (c >= 0x20 && c < 0x7F) {
    out.push_back(c);
  } else if (const char32_t* letters = Ligature(c)) {
    out += letters;
  } else if (c >= 0xFF01 && c <= 0xFFEF) {
    out += UsualWidth(c);
  } else if (c == 0x3000) {
    out.push_back(' ');
  } else if (c == 0x02BC || (c >= 0x2018 && c <= 0x201B)) {
    out.push_back('\'');
  } else if (c >= 0x201C && c <= 0x201F) {
    out.push_back('"');
  } else if (c == '\r' || c == 0x2028 || c == 0x2029) {
    out.push_back('\n');
  } else if (c == kEscape || !IsUnwantedControl(c)) {
    out.push_back(c);
  }
}

bool IsAsciiLetter(char32_t c) { return (c | 0x20) >= 'a' && (c | 0x20) <= 'z'; }

// ESC [ digits and semicolons, a letter; then the ESC that are left.
void RemoveTerminalEscapes(std::u32string& text) {
  if (text.find(kEscape) == std::u32string::npos) return;
  std::u32string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != kEscape) {
      out.push_back(text[i]);
      continue;
    }
    if (i + 1 >= text.size() || text[i + 1] != '[') continue;
    std::size_t end = i + 2;
    while (end < text.size() &&
           (text[end] == ';' || u_charType(text[end]) == U_DECIMAL_DIGIT_NUMBER)) {
      ++end;
    }
    if (end < text.size() && IsAsciiLetter(text[end])) i = end;
  }
  text = std::move(out);
}

// The length of the reference "&name;" or "&#digits;" at the end of text[floor:], or 0; `text` ends
// in ';'.
std::size_t ReferenceAtEnd(const std::u32string& text, std::size_t floor) {
  constexpr std::size_t kLongestName = 24;
  std::size_t at = text.size() - 1;
  std::size_t letters = 0;
  while (at > floor &&
         (IsAsciiLetter(text[at - 1]) || (text[at - 1] >= '0' && text[at - 1] <= '9'))) {
    if (++letters > kLongestName) return 0;
    --at;
  }
  if (letters == 0) return 0;
  if (at > floor && text[at - 1] == '#') --at;
  return at > floor && text[at - 1] == '&' ? text.size() - at + 1 : 0;
}

// The meaning of the reference at the end of `text`, of the given length. False where it has none,
// or one that itself holds a ';', which stays for the HTML pass.
bool ReferenceMeaning(const std::u32string& text, std::size_t length, std::u32string& meaning) {
  const std::u32string_view reference(text.data() + text.size() - length, length);
  if (reference[1] == '#') {
    meaning = UnescapeHtml(reference);
    return meaning.find(U';') == std::u32string::npos;
  }
  const std::string name(reference.begin() + 1, reference.end());
  const std::u32string* found = FindHtmlEntityOfAnyCase(name);
  if (found != nullptr) meaning = *found;
  return found != nullptr;
}

// One pass: each reference of the text as it stands is replaced once.
std::u32string UnescapeOnce(const std::u32string& text) {
  std::u32string out, meaning;
  out.reserve(text.size());
  std::size_t floor = 0;  // a reference never reaches into what another one became
  for (const char32_t c : text) {
    out.push_back(c);
    if (c != ';') continue;
    const std::size_t length = ReferenceAtEnd(out, floor);
    if (length == 0 || !ReferenceMeaning(out, length, meaning)) continue;
    out.resize(out.size() - length);
    out += meaning;
    floor = out.size();
  }
  return out;
}

// All passes at once: what a reference becomes is fixed and may complete the next reference at
// once. ftfy replaces one level a pass until nothing changes, quadratic in nested text. The end is
// the same: two references never overlap, so their order does not matter, and every
// single-character way to a ';' or '&' is taken here (U+037E is NFC's; U+FF1B and U+FF06 are wide).
std::u32string UnescapeAll(const std::u32string& text) {
  std::u32string out, meaning;
  out.reserve(text.size());
  for (const char32_t c : text) {
    out.push_back(c);
    while (!out.empty() && out.back() == ';') {
      const std::size_t length = ReferenceAtEnd(out, 0);
      if (length == 0 || !ReferenceMeaning(out, length, meaning)) break;
      out.resize(out.size() - length);
      for (const char32_t m : meaning) {
        if (m == 0x037E) {
          out.push_back(';');
        } else if (m == 0x212A) {
          out.push_back('K');
        } else {
          AppendFixed(m, out);
        }
      }
    }
  }
  return out;
}

std::u32string FixCharacters(const std::u32string& text) {
  std::u32string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\r' && i + 1 < text.size() && text[i + 1] == '\n') continue;
    AppendFixed(text[i], out);
  }
  RemoveTerminalEscapes(out);
  return ToNfc(std::move(out));
}

// ftfy's fix_and_explain() without fix_encoding.
std::u32string FixSegment(std::u32string text, bool unescape) {
  text = FixCharacters(unescape ? UnescapeOnce(text) : text);
  // From here on no terminal escape can appear, and passes may be joined.
  while (true) {
    std::u32string next = FixCharacters(unescape ? UnescapeAll(text) : text);
    if (next == text) return text;
    text = std::move(next);
  }
}

}  // namespace

std::u32string FixText(const std::u32string& text) {
  const bool plain = std::all_of(text.begin(), text.end(), [](char32_t c) {
    return (c >= 0x20 && c < 0x7F && c != '&') || c == '\n' || c == '\t';
  });
  if (plain) return text;
  std::u32string out;
  bool unescape = true;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = text.find(U'\n', at);
    end = std::min(end == std::u32string::npos ? text.size() : end + 1, at + kSegmentLimit);
    std::u32string segment = text.substr(at, end - at);
    // A literal '<' means real HTML: from this line on references stay.
    if (segment.find(U'<') != std::u32string::npos) unescape = false;
    out += FixSegment(std::move(segment), unescape);
    at = end;
  }
  return out;
}

}  // namespace fastclip
