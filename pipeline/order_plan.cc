#include "pipeline/order_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <numeric>

#include "pipeline/counter_random.h"

namespace fastclip {
namespace {

std::int64_t DefaultLanes(std::int64_t batch_size) {
  for (std::int64_t lanes = std::max<std::int64_t>(64, batch_size / 128); lanes > 1; --lanes) {
    if (batch_size % lanes == 0 && batch_size / lanes >= 4) return lanes;
  }
  return 1;
}

std::int64_t NearestDivisor(std::int64_t number, std::int64_t wanted) {
  for (std::int64_t distance = 0;; ++distance) {  // ends: 1 divides
    for (const std::int64_t candidate : {wanted - distance, wanted + distance}) {
      if (candidate >= 1 && candidate <= number && number % candidate == 0) return candidate;
    }
  }
}

std::int64_t CeilDiv(std::int64_t a, std::int64_t b) { return a / b + (a % b != 0); }

/// Places of an epoch that every lane can fill: ⌊C/L⌋·k.
std::int64_t CommonPlaces(std::int64_t size, std::int64_t chunk, std::int64_t lanes) {
  return CeilDiv(size, chunk) / lanes * chunk;
}

std::invalid_argument NoStep(const OrderOptions& o) {
  // A rarely seen error may search: the largest chunk that leaves a step. Chunks of one always do.
  std::int64_t chunk = std::min(o.chunk, o.size / o.lanes);
  while (CommonPlaces(o.size, chunk, o.lanes) < o.batch_size / o.lanes) --chunk;
  return std::invalid_argument(
      fmt::format("{} records in chunks of {} over {} lanes give an epoch no step of batch_size "
                  "{}: data.chunk = {} gives one",
                  o.size, o.chunk, o.lanes, o.batch_size, chunk));
}

OrderOptions Resolve(OrderOptions o) {
  if (o.size <= 0) throw std::invalid_argument("the data has no records: check the shard list");
  if (o.batch_size <= 0) {
    throw std::invalid_argument(
        fmt::format("batch_size {} is not positive: 1 is the least", o.batch_size));
  }
  for (const auto& [name, value] :
       {std::pair("lanes", o.lanes), {"chunk", o.chunk}, {"window", o.window}}) {
    if (value < 0) {
      throw std::invalid_argument(
          fmt::format("data.{} {} is negative: 0 takes the default", name, value));
    }
  }
  if (o.batch_size > o.size) {
    throw std::invalid_argument(
        fmt::format("batch_size {} is more than the data's {} records: take at most {}",
                    o.batch_size, o.size, o.size));
  }
  if (o.lanes == 0) o.lanes = DefaultLanes(o.batch_size);
  if (o.lanes > o.batch_size || o.batch_size % o.lanes != 0) {
    throw std::invalid_argument(
        fmt::format("data.lanes {} does not divide batch_size {}: {} does", o.lanes, o.batch_size,
                    NearestDivisor(o.batch_size, std::min(o.lanes, o.batch_size))));
  }
  if (o.chunk == 0) o.chunk = std::clamp<std::int64_t>(o.size / (64 * o.lanes), 1, 64);
  o.chunk = std::min(o.chunk, o.size);
  if (o.window == 0) o.window = std::max<std::int64_t>(1024, 8 * (o.batch_size / o.lanes));
  o.window = CeilDiv(std::min(o.window, o.size), o.chunk) * o.chunk;
  return o;
}

}  // namespace

OrderPlan::OrderPlan(const OrderOptions& options)
    : options_(Resolve(options)),
      chunks_(CeilDiv(options_.size, options_.chunk)),
      steps_per_epoch_(CommonPlaces(options_.size, options_.chunk, options_.lanes) /
                       rows_per_lane()),
      dealing_(Mix(static_cast<std::uint64_t>(RandomStream::kDeal), chunks_, options_.lanes),
               chunks_) {
  if (steps_per_epoch_ == 0) throw NoStep(options_);
}

std::int64_t OrderPlan::ChunksOf(std::int64_t lane) const {
  return chunks_ / options_.lanes + (lane < chunks_ % options_.lanes);
}

std::int64_t OrderPlan::lane_size(std::int64_t lane) const {
  return ChunksOf(lane) * options_.chunk;
}

OrderPlan::Place OrderPlan::PlaceOf(SampleIndex index) const {
  const std::int64_t dealt = dealing_.At(ToInt(index) / options_.chunk);
  return {.lane = dealt % options_.lanes,
          .slot = dealt / options_.lanes * options_.chunk + ToInt(index) % options_.chunk};
}

OrderPlan::Window OrderPlan::WindowAt(std::int64_t lane, std::int64_t position) const {
  const std::int64_t places = lane_size(lane);
  const std::int64_t windows =
      std::max<std::int64_t>(1, (places + options_.window / 2) / options_.window);
  const std::int64_t number = std::min(position / options_.window, windows - 1);
  const std::int64_t begin = number * options_.window;
  return {.number = number,
          .begin = begin,
          .end = number == windows - 1 ? places : begin + options_.window};
}

std::optional<RowPlan> OrderPlan::Row(std::int64_t step, std::int64_t row,
                                      std::int64_t attempt) const {
  assert(step >= 0 && row >= 0 && row < options_.batch_size && attempt >= 0);
  const auto key = [this](RandomStream stream, auto... words) {
    return Mix(options_.seed, static_cast<std::uint64_t>(stream), words...);
  };
  const std::int64_t epoch = step / steps_per_epoch_;
  const std::int64_t epoch_step = step % steps_per_epoch_;
  const std::int64_t lane = row / rows_per_lane();
  const std::int64_t first = epoch_step * rows_per_lane();  // the step's first place in the lane
  std::int64_t position = first + row % rows_per_lane();
  const Window window = WindowAt(lane, position);

  if (attempt > 0) {
    // The step's rows in this window; they lie side by side, so what is not planned is the rest.
    const std::int64_t begin = std::max(first, window.begin);
    const std::int64_t m = std::min(first + rows_per_lane(), window.end) - begin;
    const std::int64_t spare = window.end - window.begin - m;
    const std::int64_t element = (attempt - 1) * m + (position - begin);
    if (element >= spare) {
      throw WindowUsedUp(fmt::format(
          "step {} of epoch {}: the {} records of window {} in lane {} hold no further substitute "
          "for row {}; repair the shards, or raise data.window",
          epoch_step, epoch, window.end - window.begin, window.number, lane, row));
    }
    const Permutation substitutes(
        key(RandomStream::kSubstitutes, epoch, lane, window.number, epoch_step), spare);
    position = window.begin + substitutes.At(element);
    if (position >= begin) position += m;
  }

  const Permutation places(key(RandomStream::kPlaces, epoch, lane, window.number),
                           window.end - window.begin);
  const std::int64_t place = window.begin + places.At(position - window.begin);
  const Permutation lane_chunks(key(RandomStream::kChunks, epoch, lane), ChunksOf(lane));
  const std::int64_t dealt = lane_chunks.At(place / options_.chunk) * options_.lanes + lane;
  const std::int64_t index = dealing_.Inverse(dealt) * options_.chunk + place % options_.chunk;
  if (index >= options_.size) return std::nullopt;
  return RowPlan{.index = SampleIndex{index}, .epoch = epoch};
}

LaneRange OrderPlan::LanesOf(int rank, std::span<const std::int64_t> lanes_per_rank) const {
  const bool all_work =
      std::all_of(lanes_per_rank.begin(), lanes_per_rank.end(), [](auto n) { return n > 0; });
  const std::int64_t sum =
      std::accumulate(lanes_per_rank.begin(), lanes_per_rank.end(), std::int64_t{0});
  if (!all_work || sum != options_.lanes) {
    throw std::invalid_argument(
        fmt::format("the lanes of {} ranks add up to {}: every rank needs one or more, and all "
                    "together {}",
                    lanes_per_rank.size(), sum, options_.lanes));
  }
  if (rank < 0 || rank >= static_cast<std::int64_t>(lanes_per_rank.size())) {
    throw std::invalid_argument(
        fmt::format("rank {} is not one of {} ranks", rank, lanes_per_rank.size()));
  }
  const auto end = lanes_per_rank.begin() + rank;
  const std::int64_t first = std::accumulate(lanes_per_rank.begin(), end, std::int64_t{0});
  return {.first = first, .last = first + *end};
}

std::vector<std::int64_t> OrderPlan::EvenLanes(int world_size) const {
  if (world_size < 1 || world_size > options_.lanes) {
    throw std::invalid_argument(
        fmt::format("{} ranks cannot share {} lanes: take 1 to {} ranks, or more data.lanes (a "
                    "divisor of batch_size {})",
                    world_size, options_.lanes, options_.lanes, options_.batch_size));
  }
  std::vector<std::int64_t> lanes(world_size, options_.lanes / world_size);
  for (std::int64_t rank = 0; rank < options_.lanes % world_size; ++rank) ++lanes[rank];
  return lanes;
}

}  // namespace fastclip
