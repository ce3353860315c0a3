#include "trainer/eval/equal_names.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstddef>
#include <map>
#include <span>
#include <unordered_map>
#include <utility>

#include "pipeline/base/ascii.h"

namespace fastclip {
namespace {

/// At most this many equal names, and lines per name, are listed.
constexpr std::size_t kTold = 6;

std::string Lower(std::string text) {
  std::ranges::transform(text, text.begin(), LowerAscii);
  return text;
}

}  // namespace

std::vector<EqualNames> FindEqualNames(const std::vector<std::string>& classes) {
  std::unordered_map<std::string, std::int64_t> first;  // line by name
  std::map<std::int64_t, EqualNames> equal;             // by the first line
  for (std::size_t i = 0; i < classes.size(); ++i) {
    const auto line = static_cast<std::int64_t>(i) + 1;
    const auto [before, fresh] = first.emplace(Lower(classes[i]), line);
    if (fresh) continue;
    EqualNames& names = equal[before->second];
    if (names.lines.empty()) {
      names = {classes[static_cast<std::size_t>(before->second) - 1], {before->second}};
    }
    names.lines.push_back(line);
  }
  std::vector<EqualNames> all;
  for (auto& [line, names] : equal) all.push_back(std::move(names));
  return all;
}

std::string DescribeEqualNames(const std::vector<EqualNames>& equal) {
  std::string text;
  for (const EqualNames& names : std::span(equal).first(std::min(equal.size(), kTold))) {
    const auto lines = std::span(names.lines).first(std::min(names.lines.size(), kTold));
    text += fmt::format("{}'{}' (lines {}{})", text.empty() ? "" : ", ", names.name,
                        fmt::join(lines, ", "), lines.size() < names.lines.size() ? ", …" : "");
  }
  if (equal.size() > kTold) text += fmt::format(" and {} more", equal.size() - kTold);
  return text;
}

}  // namespace fastclip
