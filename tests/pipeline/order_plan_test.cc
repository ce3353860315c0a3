#include "pipeline/order/order_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/pipeline/order_checks.h"

namespace fastclip {
namespace {

OrderPlan Plan(std::int64_t size, std::int64_t batch_size, std::uint64_t seed = 1) {
  return OrderPlan({.size = size, .batch_size = batch_size, .seed = seed});
}

/// Shapes with and without holes, with one and several windows, windows that cut steps.
std::vector<OrderOptions> Shapes() {
  return {{.size = 100, .batch_size = 8},
          {.size = 97, .batch_size = 12, .seed = 3},
          {.size = 1009, .batch_size = 32, .chunk = 5, .window = 20, .seed = 4},
          {.size = 1009, .batch_size = 32, .lanes = 4, .chunk = 7, .window = 7},
          {.size = 5000, .batch_size = 96, .lanes = 3, .chunk = 3, .window = 100, .seed = 9},
          {.size = 61, .batch_size = 7},
          {.size = 4, .batch_size = 4},
          {.size = 3, .batch_size = 1}};
}

TEST(OrderPlan, FillsInTheDefaults) {
  const auto defaults = [](std::int64_t size, std::int64_t batch_size) {
    const OrderOptions o = Plan(size, batch_size).options();
    return std::vector<std::int64_t>{o.lanes, o.chunk, o.window};
  };
  using V = std::vector<std::int64_t>;
  EXPECT_EQ(defaults(5900, 64), (V{16, 5, 1025}));
  EXPECT_EQ(defaults(12'000'000, 1024), (V{64, 64, 1024}));
  EXPECT_EQ(defaults(400'000'000, 32768), (V{256, 64, 1024}));
  EXPECT_EQ(defaults(400'000'000, 5120), (V{64, 64, 1024}));
  EXPECT_EQ(defaults(10'000'000, 128 * 200), (V{200, 64, 1024}));
  EXPECT_EQ(defaults(10'000'000, 4 * 67), (V{4, 64, 1024}));
  EXPECT_EQ(defaults(100'000, 10'007), (V{1, 64, 80'064}));  // 8·10,007 in whole chunks
  EXPECT_EQ(defaults(10, 3), (V{1, 1, 10}));
}

TEST(OrderPlan, CountsTheStepsThatEveryLaneCanFill) {
  EXPECT_EQ(Plan(100, 8).steps_per_epoch(), 12);  // 2 lanes of 50
  const OrderPlan plan({.size = 1009, .batch_size = 32, .lanes = 4, .chunk = 7});
  EXPECT_EQ(plan.steps_per_epoch(), 1009 / 7 / 4 * 7 / 8);  // 145 chunks: 36 for every lane
  EXPECT_EQ(plan.steps(3), 3 * plan.steps_per_epoch());
}

TEST(OrderPlan, TellsWhetherAnEpochMayBringARecordAgain) {
  const auto repeats = [](OrderOptions options) { return OrderPlan(options).repeats_records(); };
  EXPECT_FALSE(repeats({.size = 100, .batch_size = 8}));
  EXPECT_TRUE(repeats({.size = 100, .batch_size = 8, .resampled = true}));
  EXPECT_TRUE(repeats({.size = 100, .batch_size = 8, .parts = {{60, 60}, {40, 80}}}));
  EXPECT_TRUE(repeats({.size = 100, .batch_size = 8, .tail = Tail::kPad}));
  EXPECT_TRUE(repeats({.size = 100, .batch_size = 8, .tail = Tail::kCarry}));
  EXPECT_FALSE(repeats({.size = 96, .batch_size = 8, .tail = Tail::kPad}));
  EXPECT_FALSE(repeats({.size = 96, .batch_size = 8, .tail = Tail::kCarry}));
}

TEST(OrderPlan, UsesEveryRecordAtMostOnceAnEpochAndMostOfThem) {
  for (const OrderOptions& options : Shapes()) {
    const OrderPlan plan(options);
    for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
      std::set<std::int64_t> seen;
      std::int64_t holes = 0;
      for (std::int64_t s = 0; s < plan.steps_per_epoch(); ++s) {
        for (std::int64_t row = 0; row < options.batch_size; ++row) {
          const auto planned = plan.Row(plan.steps(epoch) + s, row);
          if (!planned) {
            ++holes;
            continue;
          }
          EXPECT_EQ(planned->epoch, epoch);
          EXPECT_GE(ToInt(planned->index), 0);
          EXPECT_LT(ToInt(planned->index), options.size);
          EXPECT_TRUE(seen.insert(ToInt(planned->index)).second);
        }
      }
      EXPECT_LT(holes, plan.options().chunk);
      EXPECT_EQ(static_cast<std::int64_t>(seen.size()) + holes,
                plan.steps_per_epoch() * options.batch_size);
    }
  }
}

TEST(OrderPlan, GivesNoRecordTwiceToTheRowsAndAttemptsOfAStep) {
  for (const OrderOptions& options : Shapes()) {
    const OrderPlan plan(options);
    for (const std::int64_t step : {std::int64_t{0}, plan.steps_per_epoch() - 1, plan.steps(1)}) {
      const std::set<std::int64_t> seen = ExpectNoRecordTwice(plan, step);
      // Together the attempts of a step reach every record of its windows: here one window a lane.
      if (plan.options().window >= plan.lane_size(0)) {
        EXPECT_EQ(static_cast<std::int64_t>(seen.size()), options.size);
      }
    }
  }
}

TEST(OrderPlan, TakesSubstitutesFromTheRowsLaneAndWindow) {
  const OrderPlan plan({.size = 4000, .batch_size = 16, .lanes = 4, .chunk = 10, .window = 100});
  const auto lane_records = [&](std::int64_t first_step, std::int64_t last_step) {
    std::set<std::int64_t> records;  // what lane 2 is planned for in these steps
    for (std::int64_t step = first_step; step < last_step; ++step) {
      for (std::int64_t row = 8; row < 12; ++row) records.insert(ToInt(plan.Row(step, row)->index));
    }
    return records;
  };
  const auto window = lane_records(25, 50);  // places 100 to 199: the lane's second window
  EXPECT_EQ(window.size(), 100u);
  for (std::int64_t row = 8; row < 12; ++row) {
    for (std::int64_t attempt = 1; attempt <= 24; ++attempt) {
      EXPECT_TRUE(window.contains(ToInt(plan.Row(30, row, attempt)->index)));
    }
    EXPECT_THROW(plan.Row(30, row, 25), WindowUsedUp);
  }
}

TEST(OrderPlan, LeavesSubstitutesToTheLastStepOfAnEpoch) {
  // Lanes of 1024 + 64 places: a window of the last 64 would be planned whole by two steps of 32.
  const OrderPlan plan({.size = 4 * 1088, .batch_size = 128, .lanes = 4, .chunk = 64});
  EXPECT_EQ(plan.steps_per_epoch(), 34);
  EXPECT_NO_THROW(plan.Row(33, 0, 30));
  // Lanes of 1024 + 640 places: the rest has a window of its own.
  const OrderPlan longer({.size = 4 * 1664, .batch_size = 128, .lanes = 4, .chunk = 64});
  EXPECT_EQ(longer.steps_per_epoch(), 52);
  EXPECT_NO_THROW(longer.Row(51, 0, 19));
  EXPECT_THROW(longer.Row(51, 0, 20), WindowUsedUp);
}

TEST(OrderPlan, KeepsEveryRecordInItsLane) {
  for (const OrderOptions& options : Shapes()) {
    const OrderPlan plan(options);
    for (std::int64_t step = 0; step < plan.steps(2); step += 3) {
      for (std::int64_t row = 0; row < options.batch_size; ++row) {
        const auto planned = plan.Row(step, row);
        if (planned) {
          EXPECT_EQ(plan.PlaceOf(planned->index).lane, row / plan.rows_per_lane());
        }
      }
    }
  }
}

TEST(OrderPlan, GivesEveryRecordASlotOfItsOwn) {
  for (const OrderOptions& options : Shapes()) {
    const OrderPlan plan(options);
    ExpectSlotsOfTheirOwn(plan);
    std::int64_t places = 0, holes = 0;
    for (std::int64_t lane = 0; lane < plan.options().lanes; ++lane) {
      places += plan.lane_size(lane);
      for (std::int64_t slot = 0; slot < plan.lane_size(lane); ++slot) {
        holes += !plan.IndexAt({.lane = lane, .slot = slot});
      }
    }
    EXPECT_EQ(holes, places - options.size);
    EXPECT_LT(places - options.size, plan.options().chunk);
  }
}

TEST(OrderPlan, DealsWithoutLookingAtTheSeed) {
  const OrderPlan one = Plan(5900, 64, 1);
  const OrderPlan other = Plan(5900, 64, 2);
  for (std::int64_t i = 0; i < 5900; i += 7) {
    EXPECT_EQ(one.PlaceOf(SampleIndex{i}).lane, other.PlaceOf(SampleIndex{i}).lane);
    EXPECT_EQ(one.PlaceOf(SampleIndex{i}).slot, other.PlaceOf(SampleIndex{i}).slot);
  }
}

TEST(OrderPlan, ShufflesAnewForEverySeedAndEpoch) {
  const auto first_batch = [](std::uint64_t seed, std::int64_t epoch) {
    const OrderPlan plan = Plan(5900, 64, seed);
    std::vector<std::int64_t> records;
    for (std::int64_t row = 0; row < 64; ++row) {
      const auto planned = plan.Row(plan.steps(epoch), row);
      records.push_back(planned ? ToInt(planned->index) : -1);
    }
    return records;
  };
  EXPECT_EQ(first_batch(1, 0), first_batch(1, 0));
  EXPECT_NE(first_batch(1, 0), first_batch(1, 1));
  EXPECT_NE(first_batch(1, 0), first_batch(2, 0));
}

TEST(OrderPlan, LeavesOutOtherRecordsEachEpoch) {
  const OrderPlan plan = Plan(1000, 96);  // 10 steps: 40 records are left over
  std::set<std::int64_t> left_over;
  for (std::int64_t epoch = 0; epoch < 30; ++epoch) {
    std::set<std::int64_t> seen;
    for (std::int64_t s = 0; s < plan.steps_per_epoch(); ++s) {
      for (std::int64_t row = 0; row < 96; ++row) {
        seen.insert(ToInt(plan.Row(plan.steps(epoch) + s, row)->index));
      }
    }
    for (std::int64_t i = 0; i < 1000; ++i) {
      if (!seen.contains(i)) left_over.insert(i);
    }
  }
  EXPECT_GT(left_over.size(), 600u);
}

TEST(OrderPlan, ReadsAWindowFromFewChunks) {
  const OrderPlan plan({.size = 100'000, .batch_size = 64, .lanes = 4, .chunk = 64});
  std::set<std::int64_t> chunks;
  for (std::int64_t step = 0; step < 1024 / 16; ++step) {
    for (std::int64_t row = 0; row < 16; ++row) {
      const auto planned = plan.Row(step, row);
      if (planned) chunks.insert(ToInt(planned->index) / 64);
    }
  }
  EXPECT_LE(chunks.size(), 1024u / 64);
}

TEST(OrderPlan, CutsTheLanesForAnyWorldWithoutMovingARow) {
  const OrderPlan plan = Plan(5900, 64);
  for (const int world : {1, 2, 3, 4, 5, 16}) {
    const auto lanes = plan.EvenLanes(world);
    std::int64_t next = 0;
    for (int rank = 0; rank < world; ++rank) {
      const LaneRange range = plan.LanesOf(rank, lanes);
      EXPECT_EQ(range.first, next);
      EXPECT_EQ(range.last - range.first, lanes[rank]);
      EXPECT_GE(lanes[rank], 16 / world);
      EXPECT_LE(lanes[rank], (16 + world - 1) / world);
      next = range.last;
    }
    EXPECT_EQ(next, 16);
  }
  const std::vector<std::int64_t> uneven = {10, 1, 5};
  EXPECT_EQ(plan.LanesOf(1, uneven).first, 10);
  EXPECT_EQ(plan.LanesOf(2, uneven).last, 16);
}

TEST(OrderPlan, RefusesWorldsThatDoNotFitTheLanes) {
  const OrderPlan plan = Plan(5900, 64);
  EXPECT_THROW(plan.EvenLanes(17), std::invalid_argument);
  EXPECT_THROW(plan.EvenLanes(0), std::invalid_argument);
  EXPECT_THROW(plan.LanesOf(0, std::vector<std::int64_t>{8, 7}), std::invalid_argument);
  EXPECT_THROW(plan.LanesOf(0, std::vector<std::int64_t>{16, 0}), std::invalid_argument);
  EXPECT_THROW(plan.LanesOf(2, std::vector<std::int64_t>{8, 8}), std::invalid_argument);
}

/// The most rows of a step whose first substitute is missing, found by asking for each.
std::int64_t MostWithoutSubstitute(const OrderPlan& plan) {
  std::int64_t most = 0;
  for (std::int64_t step = 0; step < 2 * plan.steps_per_epoch(); ++step) {
    std::int64_t without = 0;
    for (std::int64_t row = 0; row < plan.options().batch_size; ++row) {
      try {
        plan.Row(step, row, 1);
      } catch (const WindowUsedUp&) {
        ++without;
      }
    }
    most = std::max(most, without);
  }
  return most;
}

TEST(OrderPlan, CountsTheRowsWithoutASubstitute) {
  const auto counts = [](OrderOptions options) {
    const OrderPlan plan(options);
    return std::pair(plan.rows_without_substitute(), MostWithoutSubstitute(plan));
  };
  using P = std::pair<std::int64_t, std::int64_t>;
  EXPECT_EQ(counts({.size = 100, .batch_size = 50}), P(0, 0));
  EXPECT_EQ(counts({.size = 100, .batch_size = 100, .lanes = 1}), P(100, 100));
  // The last window has 60 records; then there is one of 149.
  EXPECT_EQ(counts({.size = 160, .batch_size = 40, .lanes = 1, .chunk = 1, .window = 100}),
            P(20, 20));
  EXPECT_EQ(counts({.size = 149, .batch_size = 60, .lanes = 1, .chunk = 1, .window = 100}),
            P(0, 0));
  for (const OrderOptions& options : Shapes()) {
    const auto [said, seen] = counts(options);
    EXPECT_LE(seen, said);
  }
}

TEST(OrderPlan, SaysWhatWouldFit) {
  EXPECT_EQ(ErrorOf({.size = 0, .batch_size = 8}), "the data has no records; check the shard list");
  EXPECT_EQ(ErrorOf({.size = 10, .batch_size = 0}),
            "batch_size 0 is too small; it must be at least 1");
  EXPECT_EQ(
      ErrorOf({.size = 10, .batch_size = 16}),
      "batch_size 16 is larger than the data (10 records); use at most 5, half of it, so that "
      "each bad record can be replaced");
  EXPECT_EQ(ErrorOf({.size = 1000, .batch_size = 64, .lanes = 30}),
            "data.lanes 30 does not divide batch_size 64; use 32");
  EXPECT_EQ(ErrorOf({.size = 1000, .batch_size = 64, .lanes = 100}),
            "data.lanes 100 does not divide batch_size 64; use 64");
  EXPECT_EQ(ErrorOf({.size = 1000, .batch_size = 64, .window = -1}),
            "data.window -1 is negative; use 0 for the default");
  EXPECT_EQ(ErrorOf({.size = 100, .batch_size = 64, .lanes = 16, .chunk = 10}),
            "100 records in chunks of 10 over 16 lanes do not fill one batch of 64 per epoch; use "
            "data.chunk = 6");
  EXPECT_EQ(ErrorOf({.size = 64, .batch_size = 64}), "");
  EXPECT_EQ(ErrorOf({.size = 1, .batch_size = 1, .chunk = INT64_MAX, .window = INT64_MAX}), "");
}

TEST(OrderPlan, PlansTwoBillionRecordsInNoMemory) {
  const OrderPlan plan = Plan(2'200'000'000, 32768);
  std::set<std::int64_t> seen;
  for (const std::int64_t row : {0, 1, 127, 128, 20'000, 32'767}) {
    for (const std::int64_t attempt : {0, 1, 2}) {
      EXPECT_TRUE(seen.insert(ToInt(plan.Row(plan.steps(5) - 1, row, attempt)->index)).second);
    }
  }
}

// Orders of stored runs hang on these numbers: they never change.
TEST(OrderPlan, KeepsItsFrozenVectors) {
  const auto rows = [](const OrderPlan& plan, std::int64_t step, std::int64_t attempt) {
    std::vector<std::int64_t> records;
    for (std::int64_t row = 0; row < plan.options().batch_size; ++row) {
      const auto planned = plan.Row(step, row, attempt);
      records.push_back(planned ? ToInt(planned->index) : -1);
    }
    return records;
  };
  using V = std::vector<std::int64_t>;
  // 21 chunks of 5 with 2 holes, 2 lanes, windows of 15; lane 0 ends with one
  // of 10, lane 1 with one of 20. Step 3 crosses a border.
  const OrderPlan small(
      {.size = 103, .batch_size = 8, .lanes = 2, .chunk = 5, .window = 15, .seed = 42});
  EXPECT_EQ(small.steps_per_epoch(), 12);
  EXPECT_EQ(rows(small, 0, 0), (V{7, 33, 8, 31, 36, 26, 29, 64}));
  EXPECT_EQ(rows(small, 0, 1), (V{6, 73, 34, 5, 28, 25, 39, 60}));
  EXPECT_EQ(rows(small, 3, 0), (V{32, 72, 6, 4, 37, 38, 63, 99}));
  EXPECT_EQ(rows(small, 3, 1), (V{73, 34, 9, 13, 60, 28, 36, 95}));
  EXPECT_EQ(rows(small, small.steps(7) + 11, 0), (V{58, -1, 102, 100, 97, 62, 37, 61}));
  const OrderPlan web({.size = 2'200'000'000, .batch_size = 4096, .seed = 7});
  const auto far = rows(web, web.steps(2) + 100'000, 0);
  EXPECT_EQ((V{far[0], far[1], far[2048], far[4095]}),
            (V{662'070'700, 605'581'865, 456'636'051, 440'984'512}));
  const auto place = web.PlaceOf(SampleIndex{1'234'567'890});
  EXPECT_EQ((V{place.lane, place.slot}), (V{38, 4'173'010}));
}

}  // namespace
}  // namespace fastclip
