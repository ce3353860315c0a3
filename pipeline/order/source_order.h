#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <vector>

#include "pipeline/order/permutation.h"
#include "pipeline/records/record.h"

namespace fastclip {

struct RowPlan {
  SampleIndex index{};
  std::int64_t epoch = 0;
};

/// A record's fixed place in a run: its lane, and its slot there, dense in [0, lane_size).
struct LanePlace {
  std::int64_t lane = 0;
  std::int64_t slot = 0;
};

/// Records [first, first + count).
struct RecordRange {
  SampleIndex first{};
  int count = 0;
};

/// Thrown when a window has no substitute left.
class WindowUsedUp : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The part of a lane's stream that one step uses: positions [first, first + rows).
struct Draw {
  std::int64_t first = 0;
  std::int64_t rows = 0;
  std::int64_t number = 0;  ///< unique among the draws of one epoch of the lane
};

/// The order of one source's records: one endless stream per lane, epoch after epoch, as a pure
/// function in O(1) memory and time. OrderPlan decides which step draws which part of it.
///
/// Records are split into chunks. A permutation that depends only on the number of chunks and lanes
/// assigns them to lanes. In each epoch a lane permutes its chunks and shuffles the records inside
/// windows.
///
/// With replacement each window is its own epoch: it takes the first chunks of a permutation of all
/// chunks of the lane. A draw never crosses a window: the window's tail is reserved, so a batch has
/// no record twice.
class SourceOrder {
 public:
  /// All resolved and positive; chunk and window as in OrderOptions.
  struct Options {
    std::int64_t size = 0;
    std::int64_t lanes = 1;
    std::int64_t chunk = 1;
    std::int64_t window = 1;
    std::uint64_t seed = 0;
    /// With replacement: the maximum rows of a draw. 0: without replacement.
    std::int64_t resampled_rows = 0;
  };
  explicit SourceOrder(const Options& options);

  const Options& options() const { return options_; }
  std::int64_t size() const { return options_.size; }
  /// Slots of a lane, including holes past the last record.
  std::int64_t lane_size(std::int64_t lane) const;
  /// The most and the least slots of a lane.
  std::int64_t most_slots() const { return lane_size(0); }
  /// Rows of a draw of `rows` that have no substitute in the smallest window.
  std::int64_t RowsWithoutSubstitute(std::int64_t rows) const;
  std::int64_t least_slots() const { return lane_size(options_.lanes - 1); }
  LanePlace PlaceOf(SampleIndex index) const;
  /// The inverse of PlaceOf; nothing if the slot is a hole. REQUIRES: the place is within a lane.
  std::optional<SampleIndex> IndexAt(const LanePlace& place) const;
  /// Minimum records in the last window of a lane. A draw of r rows that ends past a lane's slots
  /// needs r of them; one that ends in the next epoch needs 2·r, as does any draw with replacement.
  std::int64_t LeastLastWindow() const;

  /// Sets the positions per epoch, equal for every lane: positions past a lane's slots are holes;
  /// slots past the positions are skipped in that epoch. Default: most_slots().
  void SetEpoch(std::int64_t positions) { epoch_ = positions; }

  /// The record of row `row` of a draw. Attempt 0 is the plan; each further attempt is the row's
  /// next substitute, from the same window. Nothing for a hole, or if another row of the draw can
  /// get that record: the caller continues with the next attempt. No two (row, attempt) of a draw
  /// give the same record. REQUIRES: draw.rows is at most the positions of an epoch. Throws
  /// WindowUsedUp.
  std::optional<RowPlan> Row(std::int64_t lane, const Draw& draw, std::int64_t row,
                             std::int64_t attempt) const;

  /// The chunk that the lane reaches one window after `position` of its stream, if a chunk begins
  /// there. Each chunk of an epoch is returned once, before its window begins, except those of the
  /// first window and those beyond the usual size of a last window.
  std::optional<RecordRange> Ahead(std::int64_t lane, std::int64_t position) const;

 private:
  /// Positions [begin, end) of a lane's epoch, shuffled together.
  struct Window {
    std::int64_t number = 0;
    std::int64_t begin = 0;
    std::int64_t end = 0;
    bool last = false;
  };
  bool resampled() const { return options_.resampled_rows > 0; }
  std::int64_t ChunksOf(std::int64_t lane) const;
  Window WindowAt(std::int64_t lane, std::int64_t position) const;
  Permutation ChunksIn(std::int64_t epoch, std::int64_t lane) const;
  Permutation PlacesIn(std::int64_t epoch, std::int64_t lane, const Window& window) const;
  std::int64_t SubstituteFor(std::int64_t lane, std::int64_t epoch, const Draw& draw,
                             std::int64_t row, std::int64_t attempt) const;
  std::vector<std::int64_t> UselessPositions(std::int64_t lane, std::int64_t epoch,
                                             const Draw& draw) const;
  std::optional<SampleIndex> RecordAt(std::int64_t lane, std::int64_t epoch,
                                      std::int64_t position) const;
  std::int64_t PositionOf(const LanePlace& at, std::int64_t epoch) const;

  Options options_;
  std::int64_t chunks_;
  std::int64_t epoch_;
  Permutation dealing_;
};

}  // namespace fastclip
