#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <stdexcept>
#include <vector>

#include "pipeline/permutation.h"
#include "pipeline/record.h"

namespace fastclip {

/// What fixes the order of a run. Stored in every checkpoint; a zero stands for the default.
struct OrderOptions {
  /// Records of the source.
  std::int64_t size = 0;
  /// Rows of a global batch, over all ranks.
  std::int64_t batch_size = 0;
  /// Lanes: a divisor of batch_size. Default: the largest up to max(64, batch_size/128) that leaves
  /// each lane 4 rows or more. Never a function of the world size, which may be at most this.
  std::int64_t lanes = 0;
  /// Consecutive records dealt together. Default: clamp(size / (64·lanes), 1, 64).
  std::int64_t chunk = 0;
  /// Records of a lane shuffled together, rounded up to whole chunks. Default: max(1024,
  /// 8·batch_size/lanes). A rest of less than half a window joins the window before it: a window
  /// that a step plans nearly whole would leave its bad records without substitutes.
  std::int64_t window = 0;
  std::uint64_t seed = 0;
};

struct RowPlan {
  SampleIndex index{};
  std::int64_t epoch = 0;
};

/// Lanes [first, last) of a rank; it fills the rows [first, last)·(batch_size/lanes).
struct LaneRange {
  std::int64_t first = 0;
  std::int64_t last = 0;
};

/// Thrown by OrderPlan::Row when a window has no substitute left.
class WindowUsedUp : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The order of a run as a pure function of (options, step, row, attempt), in O(1) memory and time.
/// It is a file format: frozen vectors in the tests keep it.
///
/// Records are cut into chunks; a permutation that knows only the number of chunks and lanes deals
/// them to lanes. Each epoch a lane permutes its chunks and shuffles the places inside windows.
/// Lane l fills the rows [l·B/L, (l+1)·B/L) of each global batch. The tail is dropped.
class OrderPlan {
 public:
  /// Throws std::invalid_argument with the reason and the nearest value that works: lanes that do
  /// not divide the batch, an epoch without a step, a negative option.
  explicit OrderPlan(const OrderOptions& options);

  /// The options with every default filled in.
  const OrderOptions& options() const { return options_; }
  std::int64_t rows_per_lane() const { return options_.batch_size / options_.lanes; }
  std::int64_t steps_per_epoch() const { return steps_per_epoch_; }
  std::int64_t steps(std::int64_t epochs) const { return epochs * steps_per_epoch_; }

  /// The record of a row of a global step (steps count through the epochs). Attempt 0 is the plan;
  /// each further attempt is the row's next substitute. A place past the last record is a hole:
  /// nothing is there, std::nullopt, the caller goes on with the next attempt. No two
  /// (row, attempt) of a step give the same record. Throws WindowUsedUp.
  std::optional<RowPlan> Row(std::int64_t step, std::int64_t row, std::int64_t attempt = 0) const;

  /// Where a record lives for the whole run: its lane, and its slot in it, dense in [0, lane_size).
  struct Place {
    std::int64_t lane = 0;
    std::int64_t slot = 0;
  };
  Place PlaceOf(SampleIndex index) const;
  /// Slots of a lane, holes included: what a table of per-sample state allocates.
  std::int64_t lane_size(std::int64_t lane) const;

  /// The lanes of a rank, by how many each rank has.
  LaneRange LanesOf(int rank, std::span<const std::int64_t> lanes_per_rank) const;
  /// lanes/world each, the first lanes%world ranks one more. Throws std::invalid_argument where the
  /// world is larger than the lanes.
  std::vector<std::int64_t> EvenLanes(int world_size) const;

 private:
  /// Places [begin, end) of a lane's epoch that are shuffled together.
  struct Window {
    std::int64_t number = 0;
    std::int64_t begin = 0;
    std::int64_t end = 0;
  };
  Window WindowAt(std::int64_t lane, std::int64_t position) const;
  std::int64_t ChunksOf(std::int64_t lane) const;

  OrderOptions options_;
  std::int64_t chunks_ = 0;
  std::int64_t steps_per_epoch_ = 0;
  Permutation dealing_{0, 1};
};

}  // namespace fastclip
