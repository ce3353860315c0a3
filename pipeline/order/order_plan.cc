#include "pipeline/order/order_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <numeric>
#include <stdexcept>

#include "pipeline/base/counter_random.h"
#include "pipeline/base/printable.h"

namespace fastclip {
namespace {

std::int64_t CeilDiv(std::int64_t a, std::int64_t b) { return a / b + (a % b != 0); }

enum class Round { kDown, kUp };

/// ⌊a·b / c⌋ or ⌈a·b / c⌉ without overflow. REQUIRES: c > 0.
std::int64_t MulDiv(std::int64_t a, std::int64_t b, std::int64_t c, Round round) {
  __extension__ using Wide = __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<std::int64_t>(product / c + (round == Round::kUp && product % c != 0));
}

/// Rows of a lane's epoch where `rows` are there.
std::int64_t WithTail(std::int64_t rows, std::int64_t rows_per_step, Tail tail) {
  if (tail == Tail::kCarry) return rows;
  return (tail == Tail::kPad ? CeilDiv(rows, rows_per_step) : rows / rows_per_step) * rows_per_step;
}

SourceOrder::Options SourceOptionsOf(const OrderOptions& o, std::int64_t size, std::uint64_t seed,
                                     std::int64_t most_rows) {
  std::int64_t chunk = o.chunk;
  if (chunk == 0) chunk = std::clamp<std::int64_t>(size / (64 * o.lanes), 1, 64);
  chunk = std::min(chunk, size);
  std::int64_t window =
      o.window == 0 ? std::max<std::int64_t>(1024, 8 * (o.batch_size / o.lanes)) : o.window;
  if (o.window == 0 && o.resampled) {  // a window is without repetition: a small part of the lane
    window = std::min(window, std::max(size / o.lanes / 8, 2 * most_rows + chunk));
  }
  return {.size = size,
          .lanes = o.lanes,
          .chunk = chunk,
          .window = CeilDiv(std::min(window, size), chunk) * chunk,
          .seed = seed,
          .resampled_rows = o.resampled ? most_rows : 0};
}

/// The rows that the parts of a mix ask for, all together.
std::int64_t CheckedRows(const OrderOptions& o) {
  constexpr std::int64_t kMostRows = std::int64_t{1} << 53;
  std::int64_t size = 0, rows = 0;
  for (const MixPart& part : o.parts) {
    if (part.size <= 0 || part.rows < 0 || part.rows > kMostRows - rows) {
      throw std::invalid_argument(fmt::format("a source of {} cannot fill {} of an epoch",
                                              Counted(part.size, "record"),
                                              Counted(part.rows, "sample")));
    }
    size += part.size;
    rows += part.rows;
  }
  if (size != o.size) {
    throw std::invalid_argument(fmt::format("the sources of the mix have {}, but the data has {}",
                                            Counted(size, "record"), o.size));
  }
  return rows;
}

/// Makes the parts' rows add up to `now` instead of `before`, each within one row of its share.
void ScaleRows(std::vector<MixPart>& parts, std::int64_t before, std::int64_t now) {
  std::int64_t seen = 0, given = 0;
  for (MixPart& part : parts) {
    seen += part.rows;
    const std::int64_t end = MulDiv(seen, now, before, Round::kDown);
    part.rows = end - given;
    given = end;
  }
}

std::invalid_argument TooSmall(const OrderOptions& o, std::size_t part, std::int64_t drawn) {
  const std::string records = Counted(o.parts[part].size, "record");
  const std::string lanes = Counted(o.lanes, "lane");
  if (o.resampled) {
    return std::invalid_argument(fmt::format(
        "source {} of {} has {} in {}, but data.resampled needs windows of twice the rows that a "
        "batch takes from a lane (up to {}); raise data.window, or lower data.chunk or batch_size",
        part + 1, o.parts.size(), records, lanes, drawn));
  }
  return std::invalid_argument(
      fmt::format("source {} of {} has {} in {}, and a batch takes up to {} from each lane, so a "
                  "batch would repeat records; use fewer than {} samples of it per epoch, lower "
                  "data.lanes, or raise data.window",
                  part + 1, o.parts.size(), records, lanes, drawn, o.parts[part].rows));
}

/// Slots of the lane that has the fewest.
std::int64_t LeastSlots(std::int64_t size, std::int64_t chunk, std::int64_t lanes) {
  return CeilDiv(size, chunk) / lanes * chunk;
}

std::invalid_argument NoStep(const OrderOptions& o) {
  // A rarely seen error may search: the largest chunk that leaves a step. Chunks of one always do.
  std::int64_t chunk = std::min(o.chunk, o.size / o.lanes);
  while (LeastSlots(o.size, chunk, o.lanes) < o.batch_size / o.lanes) --chunk;
  return std::invalid_argument(fmt::format(
      "{} in chunks of {} over {} do not fill one batch of {} per epoch; use data.chunk = {}",
      Counted(o.size, "record"), o.chunk, Counted(o.lanes, "lane"), o.batch_size, chunk));
}

std::invalid_argument SmallWindow(const OrderOptions& o, const SourceOrder& source,
                                  std::int64_t needed) {
  return std::invalid_argument(
      fmt::format("the last window of a lane has {}, but data.tail = {} needs {} for a batch that "
                  "takes {} from each lane; raise data.window, or lower batch_size or data.chunk",
                  Counted(std::max<std::int64_t>(0, source.LeastLastWindow()), "record"),
                  TailName(o.tail), needed, o.batch_size / o.lanes));
}

}  // namespace

OrderPlan::OrderPlan(const OrderOptions& options) : options_(ResolveOrder(options)) {
  if (options_.parts.empty()) {
    PlanOneSource();
  } else {
    PlanMix();
  }
}

void OrderPlan::PlanOneSource() {
  const OrderOptions& o = options_;
  SourceOrder& source = parts_.emplace_back(SourceOptionsOf(o, o.size, o.seed, 0));
  options_.chunk = source.options().chunk;
  options_.window = source.options().window;
  if (source.least_slots() < rows_per_lane()) throw NoStep(options_);
  epoch_ = WithTail(o.tail == Tail::kDrop ? source.least_slots() : source.most_slots(),
                    rows_per_lane(), o.tail);
  source.SetEpoch(epoch_);
  const std::int64_t needed = rows_per_lane() * (o.tail == Tail::kCarry ? 2
                                                 : o.tail == Tail::kPad ? 1
                                                                        : 0);
  if (source.LeastLastWindow() < needed) throw SmallWindow(options_, source, needed);
}

void OrderPlan::PlanMix() {
  const std::int64_t wanted = CheckedRows(options_);
  epoch_ = WithTail(CeilDiv(wanted, options_.lanes), rows_per_lane(), options_.tail);
  if (epoch_ < rows_per_lane()) {
    throw std::invalid_argument(
        fmt::format("an epoch of {} samples is smaller than one batch of {}; lower batch_size, or "
                    "raise data.epoch_samples, data.repeats or data.counts",
                    wanted, options_.batch_size));
  }
  ScaleRows(options_.parts, wanted, epoch_ * options_.lanes);

  std::int64_t rest = epoch_ * options_.lanes, most = rows_per_lane();
  for (std::size_t p = 0; p < options_.parts.size(); ++p) {
    const MixPart& part = options_.parts[p];
    // The first part's numbers are those of a run without the others.
    const std::uint64_t seed =
        p == 0 ? options_.seed
               : Mix(options_.seed, static_cast<std::uint64_t>(RandomStream::kParts), p);
    // An epoch's border may lie inside of a step and round twice.
    const std::int64_t drawn = part.rows == 0 ? 0
                                              : MulDiv(most, part.rows, rest, Round::kUp) +
                                                    (options_.tail == Tail::kCarry ? 1 : 0);
    const SourceOrder& source =
        parts_.emplace_back(SourceOptionsOf(options_, part.size, seed, drawn));
    if (part.rows == 0) continue;
    if (source.LeastLastWindow() < 2 * drawn) throw TooSmall(options_, p, drawn);
    most = MulDiv(most, rest - part.rows, rest, Round::kUp);
    rest -= part.rows;
  }
}

bool OrderPlan::repeats_records() const {
  const OrderOptions& o = options_;
  if (o.resampled || !o.parts.empty()) return true;
  if (o.tail == Tail::kPad) return epoch_ * o.lanes > o.size;
  return o.tail == Tail::kCarry && epoch_ % rows_per_lane() != 0;
}

OrderPlan::Cell OrderPlan::CellOf(std::int64_t step, std::int64_t row) const {
  assert(step >= 0 && row >= 0 && row < options_.batch_size);
  Cell cell;
  cell.lane = row / rows_per_lane();
  cell.row = row % rows_per_lane();
  const std::int64_t first = step * rows_per_lane(), last = first + rows_per_lane();
  if (options_.parts.empty()) {
    const std::int64_t number = options_.tail == Tail::kCarry ? step : step % steps_per_epoch();
    cell.draw = {first, rows_per_lane(), number};
    return cell;
  }
  // The rows of an epoch, lane after lane, are one line. The parts share any beginning of it in
  // proportion, each rounding what is left to it: what one has never shrinks from place to place,
  // and is exact at the end.
  const std::int64_t start = cell.lane * epoch_;
  std::array<std::int64_t, 4> before = {start, start + epoch_, start + first % epoch_,
                                        start + last % epoch_};
  std::int64_t rest = epoch_ * options_.lanes;
  for (; cell.part < parts_.size(); cell.base += options_.parts[cell.part++].size) {
    const std::int64_t rows = options_.parts[cell.part].rows;
    if (rows == 0) continue;
    std::array<std::int64_t, 4> mine;
    for (std::size_t i = 0; i < mine.size(); ++i) {
      mine[i] = MulDiv(before[i], rows, rest, Round::kDown);
      before[i] -= mine[i];
    }
    rest -= rows;
    const auto streamed = [&](std::int64_t place, std::int64_t here) {
      return place / epoch_ * (mine[1] - mine[0]) + here - mine[0];
    };
    const std::int64_t begin = streamed(first, mine[2]), drawn = streamed(last, mine[3]) - begin;
    if (cell.row < drawn) {
      cell.draw = {begin, drawn, step};
      return cell;
    }
    cell.row -= drawn;
  }
  throw std::logic_error("OrderPlan: the parts of a mix do not fill its lane");
}

std::optional<RowPlan> OrderPlan::Row(std::int64_t step, std::int64_t row,
                                      std::int64_t attempt) const {
  assert(attempt >= 0);
  const Cell cell = CellOf(step, row);
  auto plan = parts_[cell.part].Row(cell.lane, cell.draw, cell.row, attempt);
  if (plan) plan->index = SampleIndex{ToInt(plan->index) + cell.base};
  return plan;
}

std::optional<RecordRange> OrderPlan::Ahead(std::int64_t step, std::int64_t row) const {
  const Cell cell = CellOf(step, row);
  auto range = parts_[cell.part].Ahead(cell.lane, cell.draw.first + cell.row);
  if (range) range->first = SampleIndex{ToInt(range->first) + cell.base};
  return range;
}

std::int64_t OrderPlan::window_records() const {
  std::int64_t records = 0;
  for (const SourceOrder& part : parts_) records += part.options().window;
  return records;
}

std::int64_t OrderPlan::rows_without_substitute() const {
  std::int64_t of_lane = 0, all = 0;
  for (const auto& part : options_.parts) all += part.rows;
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    const std::int64_t rows =
        all == 0 ? rows_per_lane() : (rows_per_lane() * options_.parts[i].rows + all - 1) / all;
    of_lane += parts_[i].RowsWithoutSubstitute(rows);
  }
  return of_lane * options_.lanes;
}

LanePlace OrderPlan::PlaceOf(SampleIndex index) const {
  std::int64_t local = ToInt(index);
  std::size_t part = 0;
  while (local >= parts_[part].size()) local -= parts_[part++].size();
  LanePlace place = parts_[part].PlaceOf(SampleIndex{local});
  while (part > 0) place.slot += parts_[--part].lane_size(place.lane);
  return place;
}

std::optional<SampleIndex> OrderPlan::IndexAt(Place place) const {
  std::size_t part = 0;
  std::int64_t base = 0;
  for (; place.slot >= parts_[part].lane_size(place.lane); ++part) {
    place.slot -= parts_[part].lane_size(place.lane);
    base += parts_[part].size();
  }
  const auto index = parts_[part].IndexAt(place);
  if (!index) return std::nullopt;
  return SampleIndex{ToInt(*index) + base};
}

std::int64_t OrderPlan::lane_size(std::int64_t lane) const {
  std::int64_t slots = 0;
  for (const SourceOrder& part : parts_) slots += part.lane_size(lane);
  return slots;
}

LaneRange OrderPlan::LanesOf(int rank, std::span<const std::int64_t> lanes_per_rank) const {
  const bool all_work =
      std::all_of(lanes_per_rank.begin(), lanes_per_rank.end(), [](auto n) { return n > 0; });
  const std::int64_t sum =
      std::accumulate(lanes_per_rank.begin(), lanes_per_rank.end(), std::int64_t{0});
  if (!all_work || sum != options_.lanes) {
    throw std::invalid_argument(fmt::format(
        "the lanes of {} add up to {}; every rank needs at least one, and the sum must be {}",
        Counted(std::ssize(lanes_per_rank), "rank"), sum, options_.lanes));
  }
  if (rank < 0 || rank >= static_cast<std::int64_t>(lanes_per_rank.size())) {
    throw std::invalid_argument(fmt::format("rank {} is out of range for {}", rank,
                                            Counted(std::ssize(lanes_per_rank), "rank")));
  }
  const auto end = lanes_per_rank.begin() + rank;
  const std::int64_t first = std::accumulate(lanes_per_rank.begin(), end, std::int64_t{0});
  return {.first = first, .last = first + *end};
}

std::vector<std::int64_t> OrderPlan::EvenLanes(int world_size) const {
  if (world_size < 1 || world_size > options_.lanes) {
    throw std::invalid_argument(fmt::format(
        "{} cannot share {}; use at most {}, or raise data.lanes (a divisor of batch_size {})",
        Counted(world_size, "rank"), Counted(options_.lanes, "lane"),
        Counted(options_.lanes, "rank"), options_.batch_size));
  }
  std::vector<std::int64_t> lanes(world_size, options_.lanes / world_size);
  for (std::int64_t rank = 0; rank < options_.lanes % world_size; ++rank) ++lanes[rank];
  return lanes;
}

}  // namespace fastclip
