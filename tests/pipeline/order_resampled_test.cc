#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "pipeline/order/order_plan.h"
#include "tests/pipeline/order_checks.h"

namespace fastclip {
namespace {

OrderOptions Resampled(std::int64_t size, std::int64_t batch_size,
                       std::vector<MixPart> parts = {}) {
  return {.size = size,
          .batch_size = batch_size,
          .seed = 7,
          .parts = std::move(parts),
          .resampled = true};
}

/// Of one source and of two, with chunks that the records do not fill, windows as small as may be.
std::vector<OrderOptions> Options() {
  OrderOptions holes = Resampled(1003, 32);
  holes.lanes = 4;
  holes.chunk = 10;
  holes.window = 30;
  return {Resampled(1000, 64), Resampled(70'001, 128), holes,
          Resampled(1500, 32, {{1000, 100}, {500, 5000}})};
}

TEST(OrderResampled, TakesAsManyRowsAnEpochAsThereAreRecordsOrAsAskedFor) {
  EXPECT_EQ(OrderPlan(Resampled(1000, 64)).steps_per_epoch(), 1000 / 64);
  EXPECT_EQ(OrderPlan(Resampled(1000, 64, {{1000, 6400}})).steps_per_epoch(), 100);
}

TEST(OrderResampled, GivesNoRecordTwiceToTheRowsAndAttemptsOfAStep) {
  for (const OrderOptions& options : Options()) {
    const OrderPlan plan(options);
    for (std::int64_t step = 0; step < 100; ++step) {
      std::set<std::int64_t> seen;
      for (std::int64_t row = 0; row < options.batch_size; ++row) {
        for (std::int64_t attempt = 0; attempt < 5; ++attempt) {
          try {
            const auto planned = plan.Row(step, row, attempt);
            if (!planned) continue;
            EXPECT_TRUE(seen.insert(ToInt(planned->index)).second);
          } catch (const WindowUsedUp&) {
            EXPECT_GE(attempt, 2);  // one substitute there is for each row
            break;
          }
        }
      }
    }
  }
}

TEST(OrderResampled, KeepsEachRecordInItsLane) {
  for (const OrderOptions& options : Options()) {
    const OrderPlan plan(options);
    for (std::int64_t step = 0; step < 50; ++step) {
      for (std::int64_t row = 0; row < options.batch_size; ++row) {
        EXPECT_EQ(plan.PlaceOf(Filled(plan, step, row).index).lane, row / plan.rows_per_lane());
      }
    }
  }
}

TEST(OrderResampled, FillsEveryRowOfGoodData) {
  for (const OrderOptions& options : Options()) {
    const OrderPlan plan(options);
    for (std::int64_t step = 0; step < plan.steps(3); ++step) {
      for (std::int64_t row = 0; row < options.batch_size; ++row) {
        const std::int64_t index = ToInt(Filled(plan, step, row).index);
        EXPECT_TRUE(index >= 0 && index < options.size);
      }
    }
  }
}

// A window, an eighth of a lane, is without repetition: a little less than the 1/e of single draws.
TEST(OrderResampled, LeavesAThirdOfTheRecordsOutOfAnEpochAndTakesOthersAgain) {
  const OrderOptions options = Resampled(20'000, 64);
  const OrderPlan plan(options);
  std::map<std::int64_t, int> times;
  for (std::int64_t step = 0; step < plan.steps_per_epoch(); ++step) {
    for (std::int64_t row = 0; row < options.batch_size; ++row) {
      ++times[ToInt(Filled(plan, step, row).index)];
    }
  }
  const double unseen = 1 - static_cast<double>(times.size()) / 20'000;
  EXPECT_NEAR(unseen, std::pow(7.0 / 8, 8), 0.02);
}

TEST(OrderResampled, TakesAllRecordsAlikeInTheLongRun) {
  OrderOptions options = Resampled(203, 16);
  options.lanes = 2;
  options.chunk = 5;  // the last one has two holes
  options.window = 40;
  const OrderPlan plan(options);
  constexpr double kTimes = 400;
  const auto steps = static_cast<std::int64_t>(kTimes * 203 / 16);
  std::vector<double> times(203);
  for (std::int64_t step = 0; step < steps; ++step) {
    for (std::int64_t row = 0; row < 16; ++row) {
      ++times[static_cast<std::size_t>(ToInt(Filled(plan, step, row).index))];
    }
  }
  // Lanes of 105 and 98 records take 8 rows a step each.
  for (std::size_t index = 0; index < times.size(); ++index) {
    const std::int64_t lane = plan.PlaceOf(SampleIndex{static_cast<std::int64_t>(index)}).lane;
    const double expected =
        static_cast<double>(steps) * 8 / (plan.lane_size(lane) == 105 ? 105 : 98);
    EXPECT_NEAR(times[index], expected, 0.25 * expected) << index;
  }
}

TEST(OrderResampled, TellsEachChunkBeforeTheWindowThatTakesIt) {
  OrderOptions options = Resampled(10'000, 64);
  options.lanes = 4;
  options.chunk = 32;
  options.window = 256;
  const OrderPlan plan(options);
  const std::int64_t epoch = 256 - plan.rows_per_lane() + 1;   // rows of a lane's window
  std::map<std::int64_t, std::set<std::int64_t>> told, taken;  // by window
  const std::int64_t steps = 40 * epoch / plan.rows_per_lane();
  for (std::int64_t step = 0; step < steps; ++step) {
    for (std::int64_t row = 0; row < plan.rows_per_lane(); ++row) {
      const std::int64_t position = step * plan.rows_per_lane() + row;
      if (const auto ahead = plan.Ahead(step, row)) {
        EXPECT_EQ(ahead->count, std::min<std::int64_t>(32, 10'000 - ToInt(ahead->first)));
        EXPECT_TRUE(told[position / epoch + 1].insert(ToInt(ahead->first)).second);
      }
      const RowPlan planned = Filled(plan, step, row);
      taken[planned.epoch].insert(ToInt(planned.index) / 32 * 32);
    }
  }
  for (std::int64_t window = 1; window < 38; ++window) {
    for (const std::int64_t chunk : taken[window]) {
      EXPECT_TRUE(told[window].contains(chunk)) << window;
    }
  }
}

TEST(OrderResampled, IsFrozen) {
  const OrderPlan plan(Resampled(1000, 8));
  std::vector<std::int64_t> indices;
  for (const std::int64_t step : {0, 1, 500}) {
    for (std::int64_t row = 0; row < 8; row += 3) {
      indices.push_back(ToInt(Filled(plan, step, row).index));
    }
  }
  EXPECT_EQ(indices, (std::vector<std::int64_t>{716, 926, 328, 991, 993, 886, 474, 46, 406}));
}

TEST(OrderResampled, RefusesATailAndWindowsThatABatchWouldEmpty) {
  OrderOptions tail = Resampled(1000, 64);
  tail.tail = Tail::kCarry;
  EXPECT_EQ(ErrorOf(tail),
            "data.resampled draws with replacement, so an epoch has no tail for data.tail = carry; "
            "use drop");
  OrderOptions small = Resampled(1000, 64);
  small.lanes = 1;
  small.window = 100;
  EXPECT_EQ(ErrorOf(small),
            "source 1 of 1 has 1000 records in 1 lane, but data.resampled needs windows of twice "
            "the rows that a batch takes from a lane (up to 64); raise data.window, or lower "
            "data.chunk or batch_size");
}

}  // namespace
}  // namespace fastclip
