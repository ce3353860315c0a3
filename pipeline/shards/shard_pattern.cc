#include "pipeline/shards/shard_pattern.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <climits>
#include <filesystem>
#include <iterator>
#include <optional>
#include <stdexcept>
#include <system_error>

namespace fastclip {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSigns = "[]{},*?\\:";

bool HasMeaning(std::string_view text) {
  return text.find_first_of("[]{}*?\\") != text.npos || text.find("::") != text.npos;
}

std::optional<std::int64_t> ToInteger(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.size() > 18)
    return std::nullopt;
  return value;
}

bool HasLeadingZero(std::string_view number) {
  if (number.starts_with('-')) number.remove_prefix(1);
  return number.size() > 1 && number.front() == '0';
}

struct Range {
  std::int64_t first, step, count;
  std::size_t width;

  std::string Name(std::int64_t i) const { return fmt::format("{:0{}}", first + i * step, width); }
};

[[noreturn]] void ThrowTooMany(std::string_view what, std::size_t count) {
  throw std::runtime_error(
      fmt::format("{} {} names; the limit is {}", what, count, kMaxListedFiles));
}

/// "00000..00331" or "0..9..3"; nothing where the text is no range.
std::optional<Range> ParseRange(std::string_view text) {
  const std::size_t dots = text.find("..");
  if (dots == std::string_view::npos) return std::nullopt;
  const std::string_view first_text = text.substr(0, dots);
  std::string_view last_text = text.substr(dots + 2);
  std::int64_t step = 1;
  if (const std::size_t more = last_text.find(".."); more != std::string_view::npos) {
    step = ToInteger(last_text.substr(more + 2)).value_or(0);
    last_text = last_text.substr(0, more);
  }
  const auto first = ToInteger(first_text), last = ToInteger(last_text);
  if (!first || !last || step < 1) {
    throw std::runtime_error(fmt::format(
        "'{{{}}}' is not a range of integers; write {{00000..00331}} or {{0..9..3}}", text));
  }
  const std::int64_t span = *last >= *first ? *last - *first : *first - *last;
  Range range{.first = *first,
              .step = *last >= *first ? step : -step,
              .count = span / step + 1,
              .width = HasLeadingZero(first_text) || HasLeadingZero(last_text)
                           ? std::max(first_text.size(), last_text.size())
                           : 0};
  if (range.count > static_cast<std::int64_t>(kMaxListedFiles)) {
    ThrowTooMany(fmt::format("'{{{}}}' expands to", text), static_cast<std::size_t>(range.count));
  }
  return range;
}

Range RangeOf(std::string_view text) {
  const std::optional<Range> range = ParseRange(text);
  if (range) return *range;
  throw std::runtime_error(fmt::format("'{{{}}}' has neither a range nor a comma", text));
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
    middles = static_cast<std::size_t>(RangeOf(braces.alternatives.front()).count);
  }
  const std::size_t tails = CountNames(text.substr(braces.close + 1), depth + 1);
  // Both are at most the most, so that their product is a number.
  if (middles * tails > kMaxListedFiles) ThrowTooMany("the braces expand to", middles * tails);
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
    const Range range = RangeOf(braces.alternatives.front());
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
