#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>

#include "pipeline/order/order_plan.h"
#include "tests/support/error_of.h"

namespace fastclip {

/// What a row gets where every record is good.
inline RowPlan Filled(const OrderPlan& plan, std::int64_t step, std::int64_t row) {
  for (std::int64_t attempt = 0;; ++attempt) {
    if (const auto planned = plan.Row(step, row, attempt)) return *planned;
  }
}

/// No attempt at a row of the step gives a record of another one; returns the records given.
inline std::set<std::int64_t> ExpectNoRecordTwice(
    const OrderPlan& plan, std::int64_t step,
    std::int64_t attempts = std::numeric_limits<std::int64_t>::max()) {
  std::set<std::int64_t> seen;
  for (std::int64_t row = 0; row < plan.options().batch_size; ++row) {
    try {
      for (std::int64_t attempt = 0; attempt < attempts; ++attempt) {
        const auto planned = plan.Row(step, row, attempt);
        if (planned) {
          EXPECT_TRUE(seen.insert(ToInt(planned->index)).second) << "step " << step;
        }
      }
    } catch (const WindowUsedUp&) {  // all its records are tried
    }
  }
  return seen;
}

/// Every record has a slot of its own, and is found by it.
inline void ExpectSlotsOfTheirOwn(const OrderPlan& plan) {
  std::set<std::pair<std::int64_t, std::int64_t>> taken;
  for (std::int64_t i = 0; i < plan.options().size; ++i) {
    const auto place = plan.PlaceOf(SampleIndex{i});
    EXPECT_GE(place.slot, 0);
    EXPECT_LT(place.slot, plan.lane_size(place.lane));
    EXPECT_TRUE(taken.emplace(place.lane, place.slot).second);
    EXPECT_EQ(plan.IndexAt(place), SampleIndex{i});
  }
}

/// Every stride-th step before `steps` gives a lane's rows to records of that lane.
inline void ExpectRecordsInTheirLanes(const OrderPlan& plan, std::int64_t steps,
                                      std::int64_t stride) {
  for (std::int64_t step = 0; step < steps; step += stride) {
    for (std::int64_t row = 0; row < plan.options().batch_size; ++row) {
      EXPECT_EQ(plan.PlaceOf(Filled(plan, step, row).index).lane, row / plan.rows_per_lane());
    }
  }
}

/// Why a plan of these options is refused; empty where it is not.
inline std::string ErrorOf(const OrderOptions& options) {
  return ErrorOf<std::invalid_argument>([&] { OrderPlan plan(options); });
}

}  // namespace fastclip
