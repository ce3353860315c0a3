#pragma once

#include <span>
#include <string>
#include <vector>

namespace fastclip {

/// Where a record of a tar shard may have a caption, and how often it is chosen among those it has.
struct CaptionKey {
  std::vector<std::string> json_path;  ///< of its .json: a text or a list of texts; empty: the .txt
  float weight = 1;                    ///< shared by the texts of a list
};

/// `keys`: "txt" or "json.NAME" ("json.A.B": B in A). `weights`: one for each, 0 or more and
/// finite, not all 0; none: all alike. Throws std::runtime_error with what is wrong.
std::vector<CaptionKey> ParseCaptionKeys(std::span<const std::string> keys,
                                         std::span<const double> weights);

}  // namespace fastclip
