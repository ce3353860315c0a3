#include "pipeline/records/skip.h"

#include <fmt/format.h>

#include <numeric>

namespace fastclip {

const char* SkipName(Skip cause) {
  static constexpr const char* kNames[kSkipCauses] = {
      "no_image", "no_caption", "undecodable", "too_large", "truncated", "missing",
      "no_label", "bad_label",  "changed",     "bad_row",   "bad_json",  "bad_caption"};
  return kNames[static_cast<int>(cause)];
}

const char* SkipMeaning(Skip cause) {
  static constexpr const char* kMeanings[kSkipCauses] = {
      "the record has no image",
      "the record has no caption, or only blank ones",
      "the image's bytes are damaged, not an image, or of a format that is off (GIF, BMP: add it "
      "to "
      "pipeline.formats, or --formats of shards lint and convert)",
      "over a limit on pixels, scans or bytes",
      "the shard, or the image in it, ends early",
      "the shard or the image file is not there",
      "the record has no label",
      "the label is not an integer of at least 0, or not a known class",
      "the bytes differ from the recorded checksum",
      "the table row does not fit the columns, or is not a JSON object",
      "the .json cannot be parsed, or is too large",
      "the caption is not UTF-8"};
  return kMeanings[static_cast<int>(cause)];
}

std::optional<Skip> SkipOfName(std::string_view name) {
  for (const Skip cause : kAllSkips) {
    if (name == SkipName(cause)) return cause;
  }
  return std::nullopt;
}

SkipCounts& SkipCounts::operator+=(const SkipCounts& other) {
  for (const Skip cause : kAllSkips) (*this)[cause] += other[cause];
  return *this;
}

SkipCounts& SkipCounts::operator-=(const SkipCounts& other) {
  for (const Skip cause : kAllSkips) (*this)[cause] -= other[cause];
  return *this;
}

std::int64_t SkipCounts::total() const {
  return std::accumulate(counts_.begin(), counts_.end(), std::int64_t{0});
}

std::string DescribeSkips(const SkipCounts& counts) {
  std::string text;
  for (const Skip cause : kAllSkips) {
    if (counts[cause] == 0) continue;
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", counts[cause], SkipName(cause));
  }
  return text;
}

}  // namespace fastclip
