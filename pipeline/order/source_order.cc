#include "pipeline/order/source_order.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <iterator>

#include "pipeline/base/counter_random.h"
#include "pipeline/base/printable.h"
#include "pipeline/base/suggested_command.h"

namespace fastclip {
namespace {

/// A longer chunk is not read ahead as a whole.
constexpr std::int64_t kMostAhead = 1 << 20;

std::uint64_t Key(std::uint64_t seed, RandomStream stream, auto... words) {
  return Mix(seed, static_cast<std::uint64_t>(stream), words...);
}

}  // namespace

SourceOrder::SourceOrder(const Options& options)
    : options_(options),
      chunks_((options.size - 1) / options.chunk + 1),
      epoch_(0),
      dealing_(Mix(static_cast<std::uint64_t>(RandomStream::kDeal), chunks_, options_.lanes),
               chunks_) {
  epoch_ = most_slots();
  if (resampled()) {
    options_.window = std::min(options_.window, least_slots());
    epoch_ = std::max<std::int64_t>(1, options_.window - options_.resampled_rows + 1);
  }
}

std::int64_t SourceOrder::ChunksOf(std::int64_t lane) const {
  return chunks_ / options_.lanes + (lane < chunks_ % options_.lanes);
}

std::int64_t SourceOrder::lane_size(std::int64_t lane) const {
  return ChunksOf(lane) * options_.chunk;
}

LanePlace SourceOrder::PlaceOf(SampleIndex index) const {
  const std::int64_t dealt = dealing_.At(ToInt(index) / options_.chunk);
  return {.lane = dealt % options_.lanes,
          .slot = dealt / options_.lanes * options_.chunk + ToInt(index) % options_.chunk};
}

std::optional<SampleIndex> SourceOrder::IndexAt(const LanePlace& place) const {
  const std::int64_t dealt = place.slot / options_.chunk * options_.lanes + place.lane;
  const std::int64_t index = dealing_.Inverse(dealt) * options_.chunk + place.slot % options_.chunk;
  if (index >= options_.size) return std::nullopt;
  return SampleIndex{index};
}

SourceOrder::Window SourceOrder::WindowAt(std::int64_t lane, std::int64_t position) const {
  if (resampled()) return {.number = 0, .begin = 0, .end = options_.window, .last = true};
  const std::int64_t slots = lane_size(lane);
  const std::int64_t windows =
      std::max<std::int64_t>(1, (slots + options_.window / 2) / options_.window);
  const std::int64_t number = std::min(position / options_.window, windows - 1);
  const bool last = number == windows - 1;
  const std::int64_t begin = number * options_.window;
  return {.number = number,
          .begin = begin,
          .end = last ? slots : begin + options_.window,
          .last = last};
}

std::int64_t SourceOrder::RowsWithoutSubstitute(std::int64_t rows) const {
  std::int64_t most = 0;
  for (const std::int64_t lane : {std::int64_t{0}, options_.lanes - 1}) {
    const Window last = WindowAt(lane, std::max<std::int64_t>(lane_size(lane) - 1, 0));
    const std::int64_t size =
        last.number == 0 ? last.end : std::min(options_.window, last.end - last.begin);
    const std::int64_t planned = std::min(rows, size);
    most = std::max(most, std::min(2 * planned - size, planned));
  }
  return most;
}

Permutation SourceOrder::ChunksIn(std::int64_t epoch, std::int64_t lane) const {
  return {Key(options_.seed, RandomStream::kChunks, epoch, lane), ChunksOf(lane)};
}

Permutation SourceOrder::PlacesIn(std::int64_t epoch, std::int64_t lane,
                                  const Window& window) const {
  return {Key(options_.seed, RandomStream::kPlaces, epoch, lane, window.number),
          window.end - window.begin};
}

/// The position of a substitute for the one that is planned: one of the same window that the draw
/// does not plan. The draw's rows lie side by side, so what it does not plan is the rest; its rows
/// past the lane's slots count as rows of the last window, but plan nothing there. Where there are
/// such rows each of them needs a substitute: they choose first, and what is of no use is left out
/// beforehand, so that good data never runs out of them.
std::int64_t SourceOrder::SubstituteFor(std::int64_t lane, std::int64_t epoch, const Draw& draw,
                                        std::int64_t row, std::int64_t attempt) const {
  const std::int64_t first = draw.first - epoch * epoch_, end = first + draw.rows;
  const Window window = WindowAt(lane, first + row);
  const std::int64_t size = window.end - window.begin;
  const std::int64_t begin = std::max(first, window.begin);
  const std::int64_t rows = (window.last ? end : std::min(end, window.end)) - begin;
  const std::int64_t planned = std::clamp<std::int64_t>(window.end - begin, 0, rows);
  std::int64_t place = first + row - begin;
  std::vector<std::int64_t> useless;
  if (resampled() || end > lane_size(lane) || end > epoch_) {
    place = (place - planned + rows) % rows;
    for (const std::int64_t position : UselessPositions(lane, epoch, draw)) {
      const bool is_planned = position >= begin && position < begin + planned;
      if (position >= window.begin && position < window.end && !is_planned) {
        useless.push_back(position);
      }
    }
    std::ranges::sort(useless);
  }
  const std::int64_t spare = size - planned - std::ssize(useless);
  const std::int64_t element = (attempt - 1) * rows + place;
  if (element >= spare) {
    const std::int64_t left = std::max<std::int64_t>(spare, 0);
    const std::int64_t own = left > place ? (left - 1 - place) / rows + 1 : 0;
    throw WindowUsedUp(fmt::format(
        "too many records cannot be used: a step takes {} of the {} that are shuffled together "
        "(lane {}, {}window {}), which leaves {} to replace bad ones. Each row of the batch "
        "has its own share of those, and row {} {}; repair the data ({} lists bad records), or "
        "start a new run with a {}",
        planned, Counted(size, "record"), lane, resampled() ? "" : fmt::format("epoch {}, ", epoch),
        resampled() ? epoch : window.number, left, row,
        own == 0 ? "has none" : fmt::format("has used up its {}", own),
        SuggestedCommand("shards lint"),
        size < lane_size(lane) ? "larger data.window" : "smaller train.batch_size"));
  }
  const Permutation substitutes(
      Key(options_.seed, RandomStream::kSubstitutes, epoch, lane, window.number, draw.number),
      spare);
  // The element among the positions that are neither planned nor useless.
  std::int64_t position = window.begin + substitutes.At(element);
  const auto behind = std::ranges::lower_bound(useless, begin);
  for (auto next = useless.begin(); next != behind && *next <= position; ++next) ++position;
  if (position >= begin) position += planned;
  for (auto next = behind; next != useless.end() && *next <= position; ++next) ++position;
  return position;
}

/// The positions of a lane's epoch that hold no record, and those of the records that a draw plans
/// in the next epoch.
std::vector<std::int64_t> SourceOrder::UselessPositions(std::int64_t lane, std::int64_t epoch,
                                                        const Draw& draw) const {
  std::vector<std::int64_t> positions;
  const std::int64_t chunk_end = chunks_ * options_.chunk;
  for (std::int64_t hole = options_.size; hole < chunk_end; ++hole) {
    const LanePlace place = PlaceOf(SampleIndex{hole});
    if (place.lane != lane) break;  // they share a chunk
    positions.push_back(PositionOf(place, epoch));
  }
  if (resampled()) return positions;
  const std::int64_t next = (epoch + 1) * epoch_;
  for (std::int64_t at = next; at < draw.first + draw.rows; ++at) {
    if (const auto index = RecordAt(lane, epoch + 1, at - next)) {
      positions.push_back(PositionOf(PlaceOf(*index), epoch));
    }
  }
  return positions;
}

std::optional<SampleIndex> SourceOrder::RecordAt(std::int64_t lane, std::int64_t epoch,
                                                 std::int64_t position) const {
  if (position >= lane_size(lane)) return std::nullopt;
  const Window window = WindowAt(lane, position);
  const std::int64_t place =
      window.begin + PlacesIn(epoch, lane, window).At(position - window.begin);
  const std::int64_t chunk = ChunksIn(epoch, lane).At(place / options_.chunk);
  return IndexAt({.lane = lane, .slot = chunk * options_.chunk + place % options_.chunk});
}

/// RecordAt backwards.
std::int64_t SourceOrder::PositionOf(const LanePlace& at, std::int64_t epoch) const {
  const auto [lane, slot] = at;
  const std::int64_t place =
      ChunksIn(epoch, lane).Inverse(slot / options_.chunk) * options_.chunk + slot % options_.chunk;
  const Window window = WindowAt(lane, place);  // places do not leave their window
  if (place >= window.end) return place;        // with replacement: a chunk that it did not take
  return window.begin + PlacesIn(epoch, lane, window).Inverse(place - window.begin);
}

std::int64_t SourceOrder::LeastLastWindow() const {
  std::int64_t least = options_.size;
  for (const std::int64_t lane : {std::int64_t{0}, options_.lanes - 1}) {  // the sizes there are
    if (lane_size(lane) == 0) return 0;
    const Window window = WindowAt(lane, lane_size(lane) - 1);
    least = std::min(least, window.end - window.begin);
  }
  return least - (chunks_ * options_.chunk - options_.size);
}

std::optional<RecordRange> SourceOrder::Ahead(std::int64_t lane, std::int64_t position) const {
  // A window has the places of its positions, in another order.
  std::int64_t epoch = (position + options_.window) / epoch_;
  std::int64_t place = (position + options_.window) % epoch_;
  if (resampled()) {  // the chunks of the next window, as even over this one as can be, one a place
    const std::int64_t chunks = options_.window / options_.chunk, here = position % epoch_;
    const std::int64_t chunk = here * chunks / epoch_;
    if (here > 0 && (here - 1) * chunks / epoch_ == chunk) return std::nullopt;
    epoch = position / epoch_ + 1;
    place = chunk * options_.chunk;
  }
  if (place % options_.chunk != 0 || place >= lane_size(lane)) return std::nullopt;
  const std::int64_t dealt =
      ChunksIn(epoch, lane).At(place / options_.chunk) * options_.lanes + lane;
  const std::int64_t first = dealing_.Inverse(dealt) * options_.chunk;
  return RecordRange{
      SampleIndex{first},
      static_cast<int>(std::min({options_.chunk, options_.size - first, kMostAhead}))};
}

std::optional<RowPlan> SourceOrder::Row(std::int64_t lane, const Draw& draw, std::int64_t row,
                                        std::int64_t attempt) const {
  assert(draw.first >= 0 && row >= 0 && row < draw.rows && attempt >= 0);
  assert(draw.rows <= (resampled() ? options_.resampled_rows : epoch_));
  if (resampled()) {
    const std::int64_t window = draw.first / epoch_;
    const std::int64_t position =
        attempt == 0 ? draw.first % epoch_ + row : SubstituteFor(lane, window, draw, row, attempt);
    const std::optional<SampleIndex> index = RecordAt(lane, window, position);
    if (!index) return std::nullopt;
    return RowPlan{.index = *index, .epoch = window};
  }
  // A draw may take the end of an epoch and the beginning of the next, which can hold the same
  // records. Then the earlier plan goes first, plans go before substitutes, and all substitutes are
  // the earlier epoch's.
  const std::int64_t earlier = draw.first / epoch_;
  const std::int64_t epoch = attempt == 0 ? (draw.first + row) / epoch_ : earlier;
  const std::int64_t position =
      attempt == 0 ? (draw.first + row) % epoch_ : SubstituteFor(lane, earlier, draw, row, attempt);
  const std::optional<SampleIndex> index = RecordAt(lane, epoch, position);
  if (!index) return std::nullopt;
  if (epoch != earlier) {
    const std::int64_t there = earlier * epoch_ + PositionOf(PlaceOf(*index), earlier);
    if (there >= draw.first && there < epoch * epoch_) return std::nullopt;
  }
  return RowPlan{.index = *index, .epoch = epoch};
}

}  // namespace fastclip
