#include "pipeline/shards/shard_pattern.h"

#include <fmt/format.h>

#include <algorithm>
#include <climits>
#include <filesystem>
#include <iterator>
#include <stdexcept>
#include <system_error>

#include "pipeline/shards/number_range.h"

namespace fastclip {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSigns = "[]{},*?\\:";

bool HasMeaning(std::string_view text) {
  return text.find_first_of("[]{}*?\\") != text.npos || text.find("::") != text.npos;
}

/// How many names `text` makes.
std::size_t CountNames(std::string_view text, int depth = 0) {
  RefuseDeepBraces(depth);
  Braces braces;
  if (!FindBraces(text, braces)) return 1;
  std::size_t middles = 0;
  if (braces.alternatives.size() > 1) {
    for (const std::string_view alternative : braces.alternatives) {
      middles += CountNames(alternative, depth + 1);
    }
  } else {
    middles = static_cast<std::size_t>(ParseNumberRange(braces.alternatives.front()).count);
  }
  const std::size_t tails = CountNames(text.substr(braces.close + 1), depth + 1);
  // Both are at most the most, so that their product is a number.
  RefuseManyNames("the braces expand to", middles * tails);
  return middles * tails;
}

std::vector<std::string> Expand(std::string_view text) {
  Braces braces;
  if (!FindBraces(text, braces)) return {std::string(text)};
  std::vector<std::string> middles;
  if (braces.alternatives.size() > 1) {
    for (const std::string_view alternative : braces.alternatives) {
      std::ranges::move(Expand(alternative), std::back_inserter(middles));
    }
  } else {
    const NumberRange range = ParseNumberRange(braces.alternatives.front());
    for (std::int64_t i = 0; i < range.count; ++i) middles.push_back(range.Name(i));
  }
  const std::vector<std::string> tails = Expand(text.substr(braces.close + 1));
  const std::string head(text.substr(0, braces.open));
  std::vector<std::string> all;
  all.reserve(middles.size() * tails.size());
  for (const std::string& middle : middles) {
    for (const std::string& tail : tails) all.push_back(head + middle + tail);
  }
  return all;
}

}  // namespace

void RefuseDeepBraces(int depth) {
  if (depth > 16) throw std::runtime_error("more than 16 pairs of braces");
}

void RefuseManyNames(std::string_view what, std::size_t count) {
  if (count <= kMaxListedFiles) return;
  throw std::runtime_error(
      fmt::format("{} {} names; the limit is {}", what, count, kMaxListedFiles));
}

std::string EscapePattern(std::string_view name) {
  if (!HasMeaning(name)) return std::string(name);
  std::string pattern;
  for (const char c : name) {
    if (kSigns.find(c) != kSigns.npos) pattern += '\\';
    pattern += c;
  }
  return pattern;
}

std::size_t SignBytes(std::string_view text, std::size_t at) {
  return text[at] == '\\' && at + 1 < text.size() && kSigns.find(text[at + 1]) != kSigns.npos ? 2
                                                                                              : 1;
}

std::string UnescapePattern(std::string_view pattern) {
  std::string name;
  for (std::size_t at = 0; at < pattern.size();) {
    const std::size_t bytes = SignBytes(pattern, at);
    name += pattern[at + bytes - 1];
    at += bytes;
  }
  return name;
}

bool IsGlob(std::string_view pattern) {
  for (std::size_t at = 0; at < pattern.size(); at += SignBytes(pattern, at)) {
    if (pattern[at] == '*' || pattern[at] == '?' || pattern[at] == '[') return true;
  }
  return false;
}

std::string EscapeExisting(const std::string& pattern) {
  std::error_code ignored;
  // What is longer than a path may be is none that exists.
  std::size_t end = std::min<std::size_t>(pattern.size(), PATH_MAX);
  if (end == pattern.size() && HasMeaning(pattern) && fs::exists(pattern, ignored))
    return EscapePattern(pattern);
  while (HasMeaning(std::string_view(pattern).substr(0, end))) {
    end = pattern.rfind('/', end - 1);
    if (end == pattern.npos || end == 0) break;
    const std::string folder = pattern.substr(0, end);
    if (HasMeaning(folder) && fs::is_directory(folder, ignored)) {
      return EscapePattern(folder) + pattern.substr(end);
    }
  }
  return pattern;
}

bool FindBraces(std::string_view text, Braces& braces) {
  std::size_t open = 0;
  while (open < text.size() && text[open] != '{' && text[open] != '}')
    open += SignBytes(text, open);
  if (open >= text.size()) return false;
  braces = {open, 0, {}};
  std::size_t start = open + 1;
  int depth = 0;
  for (std::size_t i = open; i < text.size() && text[open] == '{'; i += SignBytes(text, i)) {
    if (text[i] == '{') ++depth;
    const bool closes = text[i] == '}' && --depth == 0;
    if (closes || (text[i] == ',' && depth == 1)) {
      braces.alternatives.push_back(text.substr(start, i - start));
      start = i + 1;
    }
    if (closes) {
      braces.close = i;
      return true;
    }
  }
  throw std::runtime_error("unmatched brace");
}

std::vector<std::string> ExpandBraces(const std::string& text) {
  static constexpr std::size_t kMostBytes = std::size_t{1} << 30;
  const std::size_t count = CountNames(text);
  if (count > kMostBytes / std::max<std::size_t>(text.size(), 1)) {
    throw std::runtime_error(fmt::format(
        "the braces expand to {} names of up to {} bytes; the limit is 1 GiB", count, text.size()));
  }
  return Expand(text);
}

}  // namespace fastclip
