#include "pipeline/records/json_members.h"

#include <algorithm>
#include <cstddef>

namespace fastclip {
namespace {

constexpr std::string_view kBlanks = " \t\r\n";

std::size_t SkipBlanks(std::string_view text, std::size_t at) {
  return std::min(text.find_first_not_of(kBlanks, at), text.size());
}

/// Behind the string that begins with the quote at `at`; the text's end where it does not close.
std::size_t BehindString(std::string_view text, std::size_t at) {
  for (++at; at < text.size(); ++at) {
    if (text[at] == '\\') {
      ++at;
    } else if (text[at] == '"') {
      return at + 1;
    }
  }
  return text.size();
}

/// Behind the value that begins at `at`: the comma or brace that ends it in its object.
std::size_t BehindValue(std::string_view text, std::size_t at) {
  int depth = 0;
  while (at < text.size()) {
    const char c = text[at];
    if (c == '"') {
      at = BehindString(text, at);
      continue;
    }
    if (depth == 0 && (c == ',' || c == '}')) return at;
    depth += c == '{' || c == '[' ? 1 : c == '}' || c == ']' ? -1 : 0;
    ++at;
  }
  return at;
}

bool IsNumber(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789+-.eE") == text.npos;
}

}  // namespace

std::vector<JsonMember> JsonMembersOf(std::string_view json) {
  std::vector<JsonMember> members;
  std::size_t at = SkipBlanks(json, 0);
  if (at == json.size() || json[at] != '{') return members;
  while (at < json.size() && json[at] != '}') {
    const std::size_t name = SkipBlanks(json, at + 1);  // behind the brace or a comma
    if (name == json.size() || json[name] != '"') break;
    const std::size_t name_end = BehindString(json, name);
    const std::size_t colon = SkipBlanks(json, name_end);
    if (colon == json.size() || json[colon] != ':') break;
    const std::size_t begin = SkipBlanks(json, colon + 1);
    at = BehindValue(json, begin);
    const std::size_t last = json.substr(0, at).find_last_not_of(kBlanks);
    members.push_back({.name = json.substr(name + 1, name_end - name - 2),
                       .value = json.substr(begin, std::max(last + 1, begin) - begin)});
  }
  return members;
}

std::string WithNumbers(std::string_view json,
                        std::span<const std::pair<std::string_view, std::int64_t>> numbers) {
  std::string out;
  std::size_t copied = 0;
  for (const auto& [name, value] : JsonMembersOf(json)) {
    const auto found =
        std::ranges::find(numbers, name, [](const auto& pair) { return pair.first; });
    if (found == numbers.end() || !IsNumber(value)) continue;
    const auto at = static_cast<std::size_t>(value.data() - json.data());
    out.append(json, copied, at - copied);
    out += std::to_string(found->second);
    copied = at + value.size();
  }
  return out.append(json, copied);
}

}  // namespace fastclip
