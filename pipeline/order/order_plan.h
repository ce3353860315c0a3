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
/// time. It is a file format, frozen by test vectors.
///
/// Lane l fills the rows [l·B/L, (l+1)·B/L) of each global batch from its stream (SourceOrder). In
/// a mix each part has its own endless streams: none of its records repeats before all have been
/// used or, if resampled, each window is drawn independently. The mix decides how many rows of a
/// step each part fills: spread as evenly as integers allow, with exact counts per epoch.
class OrderPlan {
 public:
  /// Throws std::invalid_argument with the reason and the nearest valid value: lanes that do not
  /// divide the batch, an epoch without a step, a negative option, windows too small for a batch.
  explicit OrderPlan(const OrderOptions& options);

  /// The options with every default filled in. For a mix: without chunk and window, which each part
  /// has itself, and with the actual rows per epoch of each part.
  const OrderOptions& options() const { return options_; }
  std::int64_t rows_per_lane() const { return options_.batch_size / options_.lanes; }
  /// Whether the steps of one EpochOf() can contain a record more than once: with replacement, in a
  /// mix (its parts restart when used up), if a last batch is padded, or if a step has records of
  /// two epochs. Substitutes for bad records do not count.
  bool repeats_records() const;
  /// Whole steps of an epoch; under Tail::kCarry some epochs have one more.
  std::int64_t steps_per_epoch() const { return steps(1); }
  /// The long-run average of steps per epoch.
  double mean_steps_per_epoch() const {
    return static_cast<double>(epoch_) / static_cast<double>(rows_per_lane());
  }
  /// Total steps of the first `epochs` epochs.
  std::int64_t steps(std::int64_t epochs) const { return epochs * epoch_ / rows_per_lane(); }
  /// The epoch that a step ends in: steps(e) ≤ step < steps(e + 1).
  std::int64_t EpochOf(std::int64_t step) const {
    return ((step + 1) * rows_per_lane() - 1) / epoch_;
  }

  /// The record of a row of a global step (steps count across epochs). Attempt 0 is the plan; each
  /// further attempt is the row's next substitute. A place past the last record is a hole,
  /// std::nullopt: the caller continues with the next attempt. No two (row, attempt) of a step give
  /// the same record. `epoch` of the result counts the passes over the record's own source. Throws
  /// WindowUsedUp.
  std::optional<RowPlan> Row(std::int64_t step, std::int64_t row, std::int64_t attempt = 0) const;

  /// Records to read ahead when a row is read: those that its lane reaches one window later
  /// (SourceOrder::Ahead).
  std::optional<RecordRange> Ahead(std::int64_t step, std::int64_t row) const;
  /// Records in the current windows of a lane, over all parts.
  std::int64_t window_records() const;
  /// Rows of a step, at worst, for which no record is left if theirs is bad: those of a batch that
  /// takes more than half of the records that are shuffled together.
  std::int64_t rows_without_substitute() const;

  using Place = LanePlace;
  Place PlaceOf(SampleIndex index) const;
  /// The record at a place (the inverse of PlaceOf); nothing if the slot is a hole. REQUIRES: the
  /// lane has that slot.
  std::optional<SampleIndex> IndexAt(Place place) const;
  /// Slots of a lane including holes: the size of a table of per-sample state.
  std::int64_t lane_size(std::int64_t lane) const;

  /// The lanes of a rank, given the number of lanes per rank.
  LaneRange LanesOf(int rank, std::span<const std::int64_t> lanes_per_rank) const;
  /// lanes/world per rank, and one more for the first lanes%world ranks. Throws
  /// std::invalid_argument if there are more ranks than lanes.
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
