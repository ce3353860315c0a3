#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace fastclip {

/// Where a record of a tar shard may have a caption, and how often it is chosen among those it has.
struct CaptionKey {
  std::vector<std::string> json_path;  ///< of its .json: a text or a list of texts; empty: the .txt
  float weight = 1;                    ///< shared by the texts of a list
};

/// What the .txt of a tar record is: one caption, or a caption a line, as CLIP_benchmark's
/// retrieval sets have it. Blank lines are none.
enum class CaptionLines : std::uint8_t { kWhole, kSplit };
/// `word`: "whole", "split", or "auto" for `otherwise`. Throws std::invalid_argument.
CaptionLines CaptionLinesOf(const std::string& word, CaptionLines otherwise);
/// What was made of a .txt of several lines, for people: ".txt read as one caption a line".
const char* DescribeLines(CaptionLines lines);

/// `keys`: "txt" or "json.NAME" ("json.A.B": B in A). `weights`: one for each, 0 or more and
/// finite, not all 0; none: all alike. Throws std::invalid_argument with what is wrong.
std::vector<CaptionKey> ParseCaptionKeys(std::span<const std::string> keys,
                                         std::span<const double> weights);

}  // namespace fastclip
