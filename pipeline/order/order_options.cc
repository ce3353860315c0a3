#include "pipeline/order/order_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "pipeline/base/printable.h"

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

}  // namespace

const char* TailName(Tail tail) {
  static constexpr const char* kNames[] = {"drop", "pad", "carry"};
  return kNames[static_cast<int>(tail)];
}

Tail TailOfName(std::string_view name) {
  for (const Tail tail : {Tail::kDrop, Tail::kPad, Tail::kCarry}) {
    if (name == TailName(tail)) return tail;
  }
  throw std::invalid_argument(fmt::format("unknown tail '{}'; use drop, pad or carry", name));
}

OrderOptions ResolveOrder(OrderOptions o) {
  if (o.size <= 0) throw std::invalid_argument("the data has no records; check the shard list");
  if (o.batch_size <= 0) {
    throw std::invalid_argument(
        fmt::format("batch_size {} is too small; it must be at least 1", o.batch_size));
  }
  for (const auto& [name, value] :
       {std::pair("lanes", o.lanes), {"chunk", o.chunk}, {"window", o.window}}) {
    if (value < 0) {
      throw std::invalid_argument(
          fmt::format("data.{} {} is negative; use 0 for the default", name, value));
    }
  }
  if (o.batch_size > o.size) {
    throw std::invalid_argument(fmt::format(
        "batch_size {} is larger than the data ({}); use {}", o.batch_size,
        Counted(o.size, "record"),
        o.size == 1 ? "1"
                    : fmt::format("at most {}, half of it, so that each bad record can be "
                                  "replaced",
                                  o.size / 2)));
  }
  if (o.lanes == 0) o.lanes = DefaultLanes(o.batch_size);
  if (o.lanes > o.batch_size || o.batch_size % o.lanes != 0) {
    throw std::invalid_argument(
        fmt::format("data.lanes {} does not divide batch_size {}; use {}", o.lanes, o.batch_size,
                    NearestDivisor(o.batch_size, std::min(o.lanes, o.batch_size))));
  }
  if (o.resampled && o.tail != Tail::kDrop) {
    throw std::invalid_argument(
        fmt::format("data.resampled draws with replacement, so an epoch has no tail for data.tail "
                    "= {}; use drop",
                    TailName(o.tail)));
  }
  if (o.resampled && o.parts.empty()) o.parts = {{o.size, o.size}};
  return o;
}

}  // namespace fastclip
