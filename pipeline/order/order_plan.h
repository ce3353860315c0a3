#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "pipeline/order/order_options.h"
#include "pipeline/order/source_order.h"
#include "pipeline/records/record.h"

namespace fastclip {

/// Lanes [first, last) of a rank; it fills the rows [first, last)·(batch_size/lanes).
struct LaneRange {
  std::int64_t first = 0;
  std::int64_t last = 0;
};

/// The order of a run as a pure function of (options, step, row, attempt), in O(parts) memory and
/// time. It is a file format: frozen vectors in the tests keep it.
///
/// Lane l fills the rows [l·B/L, (l+1)·B/L) of each global batch from its stream (SourceOrder). In
/// a mix each part has streams of its own that go on without end, so that none of its records comes
/// again before all have come, or, resampled, that draw each window anew; the mix alone decides how
/// many rows of a step each part fills: as even over the epoch as whole numbers can be, with exact
/// counts an epoch.
class OrderPlan {
 public:
  /// Throws std::invalid_argument with the reason and the nearest value that works: lanes that do
  /// not divide the batch, an epoch without a step, a negative option, windows
  /// that are too small for what a batch takes of them.
  explicit OrderPlan(const OrderOptions& options);

  /// The options with every default filled in; of a mix without chunk and window, which its parts
  /// have of their own, and with the rows that an epoch really takes of each.
  const OrderOptions& options() const { return options_; }
  std::int64_t rows_per_lane() const { return options_.batch_size / options_.lanes; }
  /// Whether steps of one EpochOf() may bring a record more than once: with replacement, in a mix,
  /// whose parts begin again when they are through, where a last batch is filled up, and where a
  /// step holds records of two epochs. Substitutes for records that cannot be used do not count.
  bool repeats_records() const;
  /// Whole steps of an epoch; under Tail::kCarry some epochs have one more.
  std::int64_t steps_per_epoch() const { return steps(1); }
  /// The same, as many as there are in the long run.
  double mean_steps_per_epoch() const {
    return static_cast<double>(epoch_) / static_cast<double>(rows_per_lane());
  }
  /// Steps of so many epochs together.
  std::int64_t steps(std::int64_t epochs) const { return epochs * epoch_ / rows_per_lane(); }
  /// The epoch that a step ends in: steps(e) ≤ step < steps(e + 1).
  std::int64_t EpochOf(std::int64_t step) const {
    return ((step + 1) * rows_per_lane() - 1) / epoch_;
  }

  /// The record of a row of a global step (steps count through the epochs). Attempt 0 is the plan;
  /// each further attempt is the row's next substitute. A place past the last record is a hole:
  /// nothing is there, std::nullopt, the caller goes on with the next attempt. No two
  /// (row, attempt) of a step give the same record. `epoch` of the result counts how often the
  /// record's own source began. Throws WindowUsedUp.
  std::optional<RowPlan> Row(std::int64_t step, std::int64_t row, std::int64_t attempt = 0) const;

  /// Records to read ahead when a row is read: what its lane comes to a window later
  /// (SourceOrder::Ahead).
  std::optional<RecordRange> Ahead(std::int64_t step, std::int64_t row) const;
  /// Records that a lane has in its windows at one time, of all parts.
  std::int64_t window_records() const;

  using Place = LanePlace;
  Place PlaceOf(SampleIndex index) const;
  /// The record of a place: PlaceOf backwards; nothing where the slot is a hole. REQUIRES: the
  /// lane has that slot.
  std::optional<SampleIndex> IndexAt(Place place) const;
  /// Slots of a lane, holes included: what a table of per-sample state allocates.
  std::int64_t lane_size(std::int64_t lane) const;

  /// The lanes of a rank, by how many each rank has.
  LaneRange LanesOf(int rank, std::span<const std::int64_t> lanes_per_rank) const;
  /// lanes/world each, the first lanes%world ranks one more. Throws std::invalid_argument where the
  /// world is larger than the lanes.
  std::vector<std::int64_t> EvenLanes(int world_size) const;

 private:
  /// Where a row of a step comes from: row `row` of a draw from a lane of a part.
  struct Cell {
    std::size_t part = 0;
    std::int64_t base = 0;  // of the part's records
    std::int64_t lane = 0;
    Draw draw{};
    std::int64_t row = 0;
  };
  Cell CellOf(std::int64_t step, std::int64_t row) const;
  void PlanOneSource();
  void PlanMix();

  OrderOptions options_;
  std::int64_t epoch_ = 0;  // rows of a lane
  std::vector<SourceOrder> parts_;
};

}  // namespace fastclip
