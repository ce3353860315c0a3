#pragma once

#include <cstdint>
#include <vector>

namespace fastclip {

/// Captions of one length.
struct LengthCount {
  std::int64_t length = 0, captions = 0;
};

/// What computing captions in groups by length costs, in the time of one token. Groups of `tokens`
/// tokens in all, padding included, cost
///     max(launches, tokens · (1 + copies)) + groups · group,
/// where copies = 0 for one group.
struct GroupCosts {
  double group = 0;     ///< of each group: its own calls of attention
  double copies = 0;    ///< share, as soon as there are two groups: attention's output is joined
  double launches = 0;  ///< to launch the tower's kernels, however few tokens there are
};

/// Estimates: a GPU's are those of ViT-B/32's text tower on an H200.
GroupCosts GroupCostsOn(bool gpu);

/// Lengths of the groups, ascending, whose cost is least; with equal costs the fewest groups. A
/// caption belongs to the first group that it fits into. At most `most` groups. `counts`: distinct
/// lengths, ascending. Exact, in O(lengths² · groups).
std::vector<std::int64_t> CutByLength(const std::vector<LengthCount>& counts, int most,
                                      const GroupCosts& costs);

}  // namespace fastclip
