#include "pipeline/sources/folder_tally.h"

#include <fmt/format.h>

#include <cstddef>

namespace fastclip {

void FolderTally::Add(const FolderTally& other) {
  hidden += other.hidden;
  loops += other.loops;
  for (const auto& [extension, count] : other.others) AddOther(extension, count);
}

void FolderTally::AddOther(const std::string& extension, std::int64_t count) {
  constexpr std::size_t kMaxKinds = 32;
  const bool known = others.contains(extension) || others.size() < kMaxKinds;
  others[known ? extension : ""] += count;
}

std::string FolderTally::Describe() const {
  std::string text;
  const auto add = [&](std::int64_t count, const std::string& what) {
    if (count > 0) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", count, what);
  };
  add(hidden, "hidden");
  add(loops, loops == 1 ? "circular link" : "circular links");
  for (const auto& [extension, count] : others) {
    add(count, extension.empty() ? "of other kinds" : extension);
  }
  return text;
}

}  // namespace fastclip
