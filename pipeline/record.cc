#include "pipeline/record.h"

#include <fmt/format.h>

namespace fastclip {

const char* SkipName(Skip cause) {
  static constexpr const char* kNames[kSkipCauses] = {"no_image",  "no_caption", "undecodable",
                                                      "too_large", "truncated",  "missing",
                                                      "no_label",  "bad_label",  "changed"};
  return kNames[static_cast<int>(cause)];
}

std::optional<Skip> SkipOfName(std::string_view name) {
  for (int cause = 0; cause < kSkipCauses; ++cause) {
    if (name == SkipName(static_cast<Skip>(cause))) return static_cast<Skip>(cause);
  }
  return std::nullopt;
}

std::string DescribeSkips(const SkipCounts& counts) {
  std::string text;
  for (int cause = 0; cause < kSkipCauses; ++cause) {
    if (counts[cause] == 0) continue;
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", counts[cause],
                        SkipName(static_cast<Skip>(cause)));
  }
  return text;
}

}  // namespace fastclip
