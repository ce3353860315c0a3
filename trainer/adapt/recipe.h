#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "trainer/base/parameter.h"

namespace fastclip {

/// Where a tuner sits: "image.block.3.ffn".
///
/// Places: the linear maps q, k, v, o, fc1, fc2 of a block; and its branches mha, ffn, block.
/// A tower alone, "image", has no block (−1) and no place.
struct Site {
  Tower tower = Tower::kNeither;
  std::int64_t block = 0;
  std::string place;

  std::string id() const;
  bool operator==(const Site&) const = default;
};

/// The towers that sites can name. A ResNet has no blocks of this kind: 0.
struct SiteCounts {
  std::int64_t image_blocks = 0, text_blocks = 0;
};

/// A setting of a tuner, "r=8".
struct TunerSetting {
  std::string name, value;
};

/// One entry of a recipe: a kind of tuner, where it sits, its settings.
struct TunerSpec {
  std::string text;  ///< as it was written
  std::string kind;
  std::vector<Site> sites;  ///< at least one, in the order of the towers
  std::vector<TunerSetting> settings;
};

/// Reads "KIND SITES [NAME=VALUE …]", as in "lora image.block.*.{q,v} r=8". In SITES, a part
/// between dots can be `*`, numbers and ranges of blocks ("0-5,11"), or names in braces. A tower
/// without blocks has no sites under `*`. Throws std::invalid_argument: not of this form, a kind,
/// setting or place that does not exist (with the nearest), no site that exists, a setting twice.
TunerSpec ReadTuner(std::string_view text, const SiteCounts& counts);

/// Whether it drops some of its input at random in training.
bool HasDropout(const TunerSpec& tuner);

}  // namespace fastclip
