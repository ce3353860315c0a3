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

/// Where a record lives for the whole run: its lane, and its slot in it, dense in [0, lane_size).
struct LanePlace {
  std::int64_t lane = 0;
  std::int64_t slot = 0;
};

/// Records [first, first + count).
struct RecordRange {
  SampleIndex first{};
  int count = 0;
};

/// Thrown where a window has no substitute left.
class WindowUsedUp : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// What of a lane's stream one step takes: the positions [first, first + rows).
struct Draw {
  std::int64_t first = 0;
  std::int64_t rows = 0;
  std::int64_t number = 0;  ///< another one for each draw of an epoch of the lane
};

/// The order of one source's records: an endless stream a lane, epoch after epoch, as a pure
/// function in O(1) memory and time. OrderPlan decides which step draws which part of it.
///
/// Records are cut into chunks; a permutation that knows only the number of chunks and lanes deals
/// them to lanes. Each epoch a lane permutes its chunks and shuffles the places inside windows.
///
/// With replacement each window is an epoch of its own: it takes the first chunks of a permutation
/// of all that the lane has. A draw lies in the window that it begins in, whose last places are
/// kept for that, so that a batch holds no record twice.
class SourceOrder {
 public:
  /// All resolved: positive, chunk and window as OrderOptions describes them.
  struct Options {
    std::int64_t size = 0;
    std::int64_t lanes = 1;
    std::int64_t chunk = 1;
    std::int64_t window = 1;
    std::uint64_t seed = 0;
    /// Where records come with replacement, the rows that a draw has at most; 0: without.
    std::int64_t resampled_rows = 0;
  };
  explicit SourceOrder(const Options& options);

  const Options& options() const { return options_; }
  std::int64_t size() const { return options_.size; }
  /// Slots of a lane, holes past the last record included.
  std::int64_t lane_size(std::int64_t lane) const;
  /// The most and the least slots of a lane.
  std::int64_t most_slots() const { return lane_size(0); }
  std::int64_t least_slots() const { return lane_size(options_.lanes - 1); }
  LanePlace PlaceOf(SampleIndex index) const;
  /// PlaceOf backwards; nothing where the slot is a hole. REQUIRES: the place is one of a lane's.
  std::optional<SampleIndex> IndexAt(const LanePlace& place) const;
  /// Records that the last window of a lane holds at least. A draw of r rows that ends past a
  /// lane's slots needs r of them; one that ends in the next epoch 2·r, and with replacement each
  /// one.
  std::int64_t LeastLastWindow() const;

  /// Positions of an epoch, the same for every lane: those past a lane's slots are holes, slots
  /// past them sit the epoch out. Until it is set: most_slots().
  void SetEpoch(std::int64_t positions) { epoch_ = positions; }

  /// The record of row `row` of a draw. Attempt 0 is the plan; each further attempt is the row's
  /// next substitute, from the same window. Nothing where there is a hole, or where another row of
  /// the draw may get that record: the caller goes on with the next attempt. No two (row, attempt)
  /// of a draw give the same record. REQUIRES: draw.rows is at most the positions of an epoch.
  /// Throws WindowUsedUp.
  std::optional<RowPlan> Row(std::int64_t lane, const Draw& draw, std::int64_t row,
                             std::int64_t attempt) const;

  /// The chunk that the lane comes to a window after `position` of its stream, where one begins
  /// there. Each chunk of an epoch's positions is told of once, and before its window begins, but
  /// for the first window's, and what a last window has over its usual size.
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
