#include "trainer/adapt/unit_choice.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace fastclip {
namespace {

constexpr const char* kScores[] = {"random", "weight", "activation", "product", "gradient"};

/// Refuses settings that would have no effect.
void CheckUsed(const TunerSettings& settings, const UnitChoice& choice) {
  const auto at = [&](std::string_view place) {
    return std::ranges::find(choice.sites, place, &Site::place) != choice.sites.end();
  };
  const bool picked = settings.Has("pick");
  if (picked && at("o") && at("fc2")) {
    settings.Fail("pick names heads at o or channels at fc2; write a tuner for each");
  }
  for (const char* name : {"heads", "channels", "select", "order", "allocation", "seed"}) {
    if (picked && settings.Has(name)) {
      settings.Fail(fmt::format("pick names the units, so {} has no effect; leave it out", name));
    }
  }
  if (settings.Has("heads") && !at("o")) settings.Fail("heads needs a site at o");
  if (settings.Has("channels") && !at("fc2")) settings.Fail("channels needs a site at fc2");
  const bool random = choice.score == UnitScore::kRandom;
  if (random && settings.Has("order")) {
    settings.Fail("order has no effect with select=random; leave it out");
  }
  if (!random && settings.Has("seed")) {
    settings.Fail("seed has an effect only with select=random; leave it out");
  }
  if (!random && choice.global) {
    settings.Fail(
        "allocation=global needs select=random, since scores of different blocks are not "
        "comparable");
  }
}

at::Tensor ScoresAt(const UnitChoice& choice, const Site& site, const TransformerBlock& block,
                    const SelectionData& data, const std::function<void(std::string_view)>& fail) {
  const auto found = data.statistics.find(site.id());
  const ColumnStatistics statistics =
      found == data.statistics.end() ? ColumnStatistics{} : found->second;
  const bool active = choice.score == UnitScore::kActivation || choice.score == UnitScore::kProduct;
  if ((active && !statistics.activation.defined()) ||
      (choice.score == UnitScore::kGradient && !statistics.gradient.defined())) {
    fail(fmt::format("select={} needs a calibration, and {} has none",
                     kScores[static_cast<std::size_t>(choice.score)], site.id()));
  }
  return UnitScores(choice.score, block, GroupAt(site.place), statistics, choice.seed, site.tower,
                    site.block);
}

/// Chosen among the units of the site, or of all sites of its tower and place.
Units BestAt(const UnitChoice& choice, const Site& site, const Transformer& tower,
             const SelectionData& data, const std::function<void(std::string_view)>& fail) {
  const UnitGroup group = GroupAt(site.place);
  std::vector<at::Tensor> scores;
  std::vector<Units> taken;
  std::size_t own = 0;
  for (const Site& other : choice.sites) {
    if (other.tower != site.tower || other.place != site.place) continue;
    if (other == site) own = scores.size();
    if (!choice.global && other != site) continue;
    const TransformerBlock& block = tower.blocks()[static_cast<std::size_t>(other.block)];
    scores.push_back(ScoresAt(choice, other, block, data, fail));
    const auto theirs = data.taken.find(other.id());
    taken.push_back(theirs == data.taken.end() ? Units{}
                                               : UnitsOf(theirs->second, UnitWidth(block, group)));
  }
  const std::int64_t count =
      (group == UnitGroup::kHeads ? choice.heads : choice.channels) * std::ssize(scores);
  const std::vector<Units> best = BestUnits(scores, taken, count, choice.largest);
  std::int64_t found = 0;
  for (const Units& of_block : best) found += std::ssize(of_block);
  if (found < count) {
    fail(fmt::format("{} {} at {}, but only {} can be chosen; lower {}", count, NameOf(group),
                     site.id(), found, NameOf(group)));
  }
  return best[own];
}

}  // namespace

UnitChoice ReadUnitChoice(TunerSettings& settings) {
  UnitChoice choice;
  choice.sites = settings.spec().sites;
  choice.pick = settings.Integers("pick");
  choice.heads = settings.Integer("heads", 1, 1, 1 << 16);
  choice.channels = settings.Integer("channels", 64, 1, 1 << 24);
  const std::string score = settings.Choice("select", {std::begin(kScores), std::end(kScores)});
  choice.score = static_cast<UnitScore>(std::ranges::find(kScores, score) - std::begin(kScores));
  choice.largest = settings.Choice("order", {"smallest", "largest"}) == "largest";
  choice.global = settings.Choice("allocation", {"uniform", "global"}) == "global";
  choice.seed = static_cast<std::uint64_t>(settings.Integer("seed", 0, 0, std::int64_t{1} << 62));
  CheckUsed(settings, choice);
  return choice;
}

Units UnitsAt(const UnitChoice& choice, const Site& site, const Transformer& tower,
              const SelectionData& data, const std::function<void(std::string_view)>& fail) {
  if (choice.pick.empty()) return BestAt(choice, site, tower, data, fail);
  const TransformerBlock& block = tower.blocks()[static_cast<std::size_t>(site.block)];
  const UnitGroup group = GroupAt(site.place);
  Units units = choice.pick;
  std::ranges::sort(units);
  const std::int64_t count = UnitCount(block, group);
  if (units.back() >= count) {
    fail(fmt::format("pick: {} has {} 0 to {}, not {}", site.id(), NameOf(group), count - 1,
                     units.back()));
  }
  const auto taken = data.taken.find(site.id());
  if (taken == data.taken.end()) return units;
  for (const std::int64_t unit : UnitsOf(taken->second, UnitWidth(block, group))) {
    if (std::ranges::find(units, unit) == units.end()) continue;
    fail(fmt::format("pick: number {} of the {} of {} belongs to an adapter that is excluded", unit,
                     NameOf(group), site.id()));
  }
  return units;
}

}  // namespace fastclip
