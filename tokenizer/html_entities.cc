#include "tokenizer/html_entities.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <unordered_map>

#include "tokenizer/unicode_text.h"

namespace fastclip {
namespace {

struct StringHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view s) const { return std::hash<std::string_view>()(s); }
};
using EntityMap = std::unordered_map<std::string, std::u32string, StringHash, std::equal_to<>>;

// Names that need no semicolon have 2 to 6 letters.
constexpr std::size_t kLongestOpenName = 6;
constexpr std::size_t kLongestReference = 32;

bool IsDigit(char32_t c) { return c >= '0' && c <= '9'; }
bool IsHexDigit(char32_t c) {
  return IsDigit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}
bool IsAlphanumeric(char32_t c) {
  return IsDigit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

EntityMap ParseNames() {
  EntityMap map;
  std::string_view rest = kHtmlEntityNames;
  while (!rest.empty()) {
    const std::string_view word = rest.substr(0, rest.find(' '));
    rest.remove_prefix(std::min(rest.size(), word.size() + 1));
    const std::size_t mark = word.find_first_of(":!");
    const std::string name(word.substr(0, mark));
    std::u32string value;
    for (const char* at = word.data() + mark; at < word.data() + word.size();) {
      std::uint32_t code = 0;
      at = std::from_chars(at + 1, word.data() + word.size(), code, 16).ptr;
      value.push_back(code);
    }
    if (word[mark] == '!') map.emplace(name, value);
    map.emplace(name + ';', std::move(value));
  }
  return map;
}

const EntityMap& Names() {
  static const EntityMap names = ParseNames();
  return names;
}

bool BeginsWithOpenName(std::string_view name) {
  for (std::size_t length = 2; length <= std::min(kLongestOpenName, name.size()); ++length) {
    if (Names().contains(name.substr(0, length))) return true;
  }
  return false;
}

EntityMap NamesInCapitals() {
  EntityMap capitals;
  for (const auto& [name, value] : Names()) {
    const auto is_upper = [](char c) { return c >= 'A' && c <= 'Z'; };
    if (name.back() != ';' || std::any_of(name.begin(), name.end(), is_upper)) continue;
    std::string upper = name;
    for (char& c : upper) c = c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c;
    if (Names().contains(upper) || BeginsWithOpenName(upper)) continue;
    capitals.emplace(std::move(upper), ToUpper(value));
  }
  return capitals;
}

// The reference that starts behind the '&' of `text` at `at`; appends its meaning and returns the
// place behind it. Nothing that could be a reference: `at`.
std::size_t AppendReference(std::u32string_view text, std::size_t at, std::u32string& out) {
  std::size_t end = at;
  if (end < text.size() && text[end] == '#') {
    ++end;
    const bool hex = end < text.size() && (text[end] == 'x' || text[end] == 'X');
    if (hex) ++end;
    const std::size_t first = end;
    std::uint32_t number = 0;
    while (end < text.size() && (hex ? IsHexDigit(text[end]) : IsDigit(text[end]))) {
      const char32_t c = text[end++];
      const std::uint32_t digit = IsDigit(c) ? c - '0' : (c | 0x20) - 'a' + 10;
      number = std::min<std::uint32_t>(number * (hex ? 16 : 10) + digit, 0x110000);
    }
    if (end == first) return at;
    out += HtmlCharacter(number);
    return end < text.size() && text[end] == ';' ? end + 1 : end;
  }
  const auto ends = [](char32_t c) {
    return c == '\t' || c == '\n' || c == '\f' || c == ' ' || c == '<' || c == '&' || c == '#' ||
           c == ';';
  };
  std::string name;  // ASCII start of the reference: no name holds anything else
  while (end < text.size() && end - at < kLongestReference && !ends(text[end])) {
    if (name.size() == end - at && IsAlphanumeric(text[end])) name.push_back(text[end]);
    ++end;
  }
  if (end == at) return at;
  const bool whole_is_ascii = name.size() == end - at;
  const bool closed = end < text.size() && text[end] == ';';
  if (closed) ++end;
  if (whole_is_ascii) {
    if (const auto* value = FindHtmlEntity(closed ? name + ';' : name)) {
      out += *value;
      return end;
    }
  }
  const std::string_view start = name;
  for (std::size_t length = std::min(name.size(), kLongestOpenName); length >= 2; --length) {
    if (const auto* value = FindHtmlEntity(start.substr(0, length))) {
      out += *value;
      out += text.substr(at + length, end - at - length);
      return end;
    }
  }
  out.push_back('&');
  out += text.substr(at, end - at);
  return end;
}

}  // namespace

const std::u32string* FindHtmlEntity(std::string_view name) {
  const auto found = Names().find(name);
  return found == Names().end() ? nullptr : &found->second;
}

const std::u32string* FindHtmlEntityOfAnyCase(std::string_view name) {
  if (const auto* value = FindHtmlEntity(name)) return value;
  static const EntityMap capitals = NamesInCapitals();
  const auto found = capitals.find(name);
  return found == capitals.end() ? nullptr : &found->second;
}

char32_t Windows1252(char32_t control) {
  static constexpr std::array<char16_t, 32> kMeaning = {
      0x20AC, 0x81,   0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160,
      0x2039, 0x0152, 0x8D,   0x017D, 0x8F,   0x90,   0x2018, 0x2019, 0x201C, 0x201D, 0x2022,
      0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0x9D,   0x017E, 0x0178};
  return kMeaning[control - 0x80];
}

std::u32string HtmlCharacter(std::uint32_t number) {
  if (number >= 0x80 && number <= 0x9F) return {Windows1252(number)};
  if (number == 0 || (number >= 0xD800 && number <= 0xDFFF) || number > 0x10FFFF) return U"\uFFFD";
  const bool control =
      number < 0x20 && number != '\t' && number != '\n' && number != '\f' && number != '\r';
  const bool no_character = (number >= 0xFDD0 && number <= 0xFDEF) || (number & 0xFFFE) == 0xFFFE;
  if (control || number == 0x7F || no_character) return {};
  return {number};
}

std::u32string UnescapeHtml(std::u32string_view text) {
  std::u32string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t next = text.find(U'&', at);
    if (next == std::u32string_view::npos) return out += text.substr(at);
    out += text.substr(at, next - at);
    at = AppendReference(text, next + 1, out);
    if (at == next + 1) out.push_back('&');
  }
  return out;
}

}  // namespace fastclip
