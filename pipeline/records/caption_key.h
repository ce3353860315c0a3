#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace fastclip {

/// Where a record of a tar shard can have a caption, and how often it is chosen.
struct CaptionKey {
  std::vector<std::string>
      json_path;     ///< a string or list of strings in the .json; empty: the .txt
  float weight = 1;  ///< shared by the strings of a list
};

/// How the .txt of a tar record is read: as one caption, or one caption per line, as in
/// CLIP_benchmark's retrieval sets. Blank lines are ignored.
enum class CaptionLines : std::uint8_t { kWhole, kSplit };
/// `word`: "whole", "split", or "auto" for `otherwise`. Throws std::invalid_argument.
CaptionLines CaptionLinesOf(const std::string& word, CaptionLines otherwise);
/// How a .txt of several lines was read, for messages: ".txt read as one caption per line".
const char* DescribeLines(CaptionLines lines);

/// `keys`: "txt" or "json.NAME" ("json.A.B": B in A). `weights`: one per key, finite, >= 0 and not
/// all 0; empty: all equal. Throws std::invalid_argument with the reason.
std::vector<CaptionKey> ParseCaptionKeys(std::span<const std::string> keys,
                                         std::span<const double> weights);

}  // namespace fastclip
