#include "trainer/step/length_groups.h"

#include <algorithm>
#include <limits>

namespace fastclip {

GroupCosts GroupCostsOn(bool gpu) {
  // A group's attention, forward and backward, is some 8 launches a block of 4 µs, in which an H200
  // computes 700 tokens of width 512; a block is some 40.
  if (gpu) return {.group = 700, .copies = 0.05, .launches = 3500};
  return {.group = 16, .copies = 0.05};
}

std::vector<std::int64_t> CutByLength(const std::vector<LengthCount>& counts, int most,
                                      const GroupCosts& costs) {
  const std::size_t n = counts.size();
  const std::size_t largest = std::min(n, static_cast<std::size_t>(most));
  // tokens[g][k]: the fewest of the first k lengths in g groups; cut[g][k]: where the last begins.
  constexpr double kNone = std::numeric_limits<double>::infinity();
  std::vector tokens(largest + 1, std::vector<double>(n + 1, kNone));
  std::vector cut(largest + 1, std::vector<std::size_t>(n + 1, 0));
  tokens[0][0] = 0;
  std::size_t best = 0;
  double least = kNone;
  for (std::size_t groups = 1; groups <= largest; ++groups) {
    for (std::size_t end = groups; end <= n; ++end) {
      std::int64_t captions = 0;
      for (std::size_t begin = end; begin-- >= groups;) {
        captions += counts[begin].captions;
        const double sum =
            tokens[groups - 1][begin] + static_cast<double>(captions * counts[end - 1].length);
        if (sum >= tokens[groups][end]) continue;
        tokens[groups][end] = sum;
        cut[groups][end] = begin;
      }
    }
    const double copied = tokens[groups][n] * (groups > 1 ? 1 + costs.copies : 1);
    const double cost =
        std::max(costs.launches, copied) + costs.group * static_cast<double>(groups);
    if (cost >= least) continue;
    least = cost;
    best = groups;
  }
  std::vector<std::int64_t> lengths(best);
  for (std::size_t end = n; best > 0; end = cut[best--][end]) {
    lengths[best - 1] = counts[end - 1].length;
  }
  return lengths;
}

}  // namespace fastclip
