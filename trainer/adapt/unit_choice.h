#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "trainer/adapt/recipe.h"
#include "trainer/adapt/selection.h"
#include "trainer/adapt/settings.h"
#include "trainer/model/attention.h"

namespace fastclip {

/// How an S²FT tuner chooses its units: its settings.
struct UnitChoice {
  std::int64_t heads, channels;  ///< of a block
  Units pick;                    ///< numbers of units, if they are named instead
  UnitScore score;
  bool largest;  ///< of the scores, or the smallest
  bool global;   ///< as many on average over the blocks, or the same number in each
  std::uint64_t seed;
  std::vector<Site> sites;
};

/// Throws std::invalid_argument; also for settings that would have no effect.
UnitChoice ReadUnitChoice(TunerSettings& settings);

/// The units of one of the choice's sites; none is possible if the choice is global. `fail` throws:
/// too few units, no statistics, a unit that does not exist or is taken.
Units UnitsAt(const UnitChoice& choice, const Site& site, const Transformer& tower,
              const SelectionData& data, const std::function<void(std::string_view)>& fail);

}  // namespace fastclip
