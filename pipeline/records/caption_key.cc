#include "pipeline/records/caption_key.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "pipeline/base/json_path.h"
#include "pipeline/base/printable.h"

namespace fastclip {

CaptionLines CaptionLinesOf(const std::string& word, CaptionLines otherwise) {
  if (word == "auto") return otherwise;
  if (word == "whole") return CaptionLines::kWhole;
  if (word == "split") return CaptionLines::kSplit;
  throw std::invalid_argument(fmt::format("caption lines '{}': use auto, split or whole", word));
}

const char* DescribeLines(CaptionLines lines) {
  return lines == CaptionLines::kSplit ? ".txt read as one caption per line"
                                       : ".txt of several lines read as one caption";
}

std::vector<CaptionKey> ParseCaptionKeys(std::span<const std::string> keys,
                                         std::span<const double> weights) {
  if (!weights.empty() && weights.size() != keys.size()) {
    throw std::invalid_argument(fmt::format("{} for {}; set one per caption",
                                            Counted(std::ssize(weights), "weight"),
                                            Counted(std::ssize(keys), "caption")));
  }
  const auto usable = [](double weight) { return std::isfinite(weight) && weight >= 0; };
  if (!std::ranges::all_of(weights, usable) ||
      (!weights.empty() && std::ranges::all_of(weights, [](double w) { return w == 0; }))) {
    throw std::invalid_argument("caption weights must be >= 0, and at least one must be > 0");
  }
  std::vector<CaptionKey> parsed;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const auto path = ParseJsonPath(keys[i], "caption");
    if (!path && keys[i] != "txt") {
      throw std::invalid_argument(fmt::format(
          "unknown caption key '{}'; use txt, or json.NAME for a field of the .json", keys[i]));
    }
    parsed.push_back({path.value_or(std::vector<std::string>()),
                      weights.empty() ? 1.0F : static_cast<float>(weights[i])});
  }
  return parsed;
}

}  // namespace fastclip
