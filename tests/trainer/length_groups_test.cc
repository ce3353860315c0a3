#include "trainer/step/length_groups.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "pipeline/base/counter_random.h"
#include "trainer/model/caption_groups.h"

namespace fastclip {
namespace {

double CostOf(const std::vector<LengthCount>& counts, const std::vector<std::int64_t>& groups,
              const GroupCosts& costs) {
  double tokens = 0;
  for (const LengthCount& of : counts) {
    const std::int64_t length = *std::ranges::lower_bound(groups, of.length);
    tokens += static_cast<double>(of.captions * length);
  }
  if (groups.size() > 1) tokens *= 1 + costs.copies;
  return std::max(costs.launches, tokens) + costs.group * static_cast<double>(groups.size());
}

/// By trying all sets of lengths that hold the longest.
std::vector<std::int64_t> CutByTrying(const std::vector<LengthCount>& counts, std::size_t most,
                                      const GroupCosts& costs) {
  std::vector<std::int64_t> best;
  double least = 0;
  for (unsigned set = 0; set < 1U << (counts.size() - 1); ++set) {
    std::vector<std::int64_t> groups;
    for (std::size_t i = 0; i < counts.size(); ++i) {
      if (i + 1 == counts.size() || (set >> i & 1U) != 0) groups.push_back(counts[i].length);
    }
    if (groups.size() > most) continue;
    const double cost = CostOf(counts, groups, costs);
    if (best.empty() || cost < least || (cost == least && groups.size() < best.size())) {
      least = cost;
      best = groups;
    }
  }
  return best;
}

TEST(CutByLength, CostsTheLeastOfAllCuts) {
  CounterRandom random(1);
  for (int round = 0; round < 300; ++round) {
    std::vector<LengthCount> counts;
    for (std::int64_t length = 8; length <= 80; length += 8) {
      if (random.Below(3) == 0) continue;
      counts.push_back({length, static_cast<std::int64_t>(1 + random.Below(200))});
    }
    if (counts.empty()) continue;
    const int most = 1 + static_cast<int>(random.Below(6));
    const GroupCosts costs{.group = static_cast<double>(random.Below(3) * random.Below(900)),
                           .copies = 0.05 * static_cast<double>(random.Below(3)),
                           .launches = static_cast<double>(random.Below(2) * random.Below(30000))};
    const std::vector<std::int64_t> cut = CutByLength(counts, most, costs);
    const std::vector<std::int64_t> tried =
        CutByTrying(counts, static_cast<std::size_t>(most), costs);
    EXPECT_DOUBLE_EQ(CostOf(counts, cut, costs), CostOf(counts, tried, costs));
    EXPECT_EQ(cut.size(), tried.size());
    EXPECT_LE(cut.size(), static_cast<std::size_t>(most));
    EXPECT_EQ(cut.back(), counts.back().length);
    EXPECT_TRUE(std::ranges::is_sorted(cut));
  }
}

TEST(CutByLength, KeepsOneGroupWhereCuttingDoesNotPay) {
  const std::vector<LengthCount> counts = {{8, 4}, {24, 40}, {32, 4}};
  EXPECT_EQ(CutByLength(counts, 32, {}), (std::vector<std::int64_t>{8, 24, 32}));
  EXPECT_EQ(CutByLength(counts, 2, {}), (std::vector<std::int64_t>{24, 32}));
  EXPECT_EQ(CutByLength(counts, 1, {}), (std::vector<std::int64_t>{32}));
  EXPECT_EQ(CutByLength(counts, 32, {.group = 1000}), (std::vector<std::int64_t>{32}));
  EXPECT_EQ(CutByLength(counts, 32, {.copies = 0.4}), (std::vector<std::int64_t>{32}));
  EXPECT_EQ(CutByLength(counts, 32, {.launches = 2000}), (std::vector<std::int64_t>{32}));
  EXPECT_TRUE(CutByLength({}, 32, {}).empty());
}

// "1 where launches bind": few rows on a GPU are cut on the CPU alone.
TEST(GroupCosts, CutFewRowsOnTheCpuAlone) {
  const auto cut = [](std::int64_t times, bool gpu) {
    const std::vector<LengthCount> counts = {{16, 10 * times}, {24, 40 * times}, {40, 14 * times}};
    return CutByLength(counts, kMostLengthGroups, GroupCostsOn(gpu)).size();
  };
  EXPECT_GT(cut(1, false), 1u);
  EXPECT_EQ(cut(1, true), 1u);
  EXPECT_GT(cut(64, true), 1u);
}

}  // namespace
}  // namespace fastclip
