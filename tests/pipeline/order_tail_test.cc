#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "pipeline/order/order_plan.h"
#include "tests/pipeline/order_checks.h"

namespace fastclip {
namespace {

/// Shapes whose epochs leave a rest, with holes, lanes of unlike size, windows that cut steps.
std::vector<OrderOptions> Shapes(Tail tail) {
  return {{.size = 100, .batch_size = 8, .tail = tail},
          {.size = 97, .batch_size = 12, .seed = 3, .tail = tail},
          {.size = 1009, .batch_size = 32, .chunk = 5, .window = 40, .seed = 4, .tail = tail},
          {.size = 1009, .batch_size = 32, .lanes = 4, .chunk = 7, .window = 63, .tail = tail},
          {.size = 5000,
           .batch_size = 96,
           .lanes = 3,
           .chunk = 3,
           .window = 100,
           .seed = 9,
           .tail = tail},
          {.size = 61, .batch_size = 7, .tail = tail},
          {.size = 8, .batch_size = 4, .tail = tail},
          {.size = 3, .batch_size = 1, .tail = tail}};
}

/// How often each record comes in the steps, substitutes of holes included.
std::map<std::int64_t, int> Visits(const OrderPlan& plan, std::int64_t first, std::int64_t last) {
  std::map<std::int64_t, int> visits;
  for (std::int64_t step = first; step < last; ++step) {
    for (std::int64_t row = 0; row < plan.options().batch_size; ++row) {
      ++visits[ToInt(Filled(plan, step, row).index)];
    }
  }
  return visits;
}

TEST(OrderTail, PaddedEpochsHoldEveryRecord) {
  for (const OrderOptions& options : Shapes(Tail::kPad)) {
    const OrderPlan plan(options);
    for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
      const auto visits = Visits(plan, plan.steps(epoch), plan.steps(epoch + 1));
      EXPECT_EQ(static_cast<std::int64_t>(visits.size()), options.size) << options.size;
    }
  }
}

TEST(OrderTail, PaddingIsNoMoreThanTheLongestLaneNeeds) {
  for (const OrderOptions& options : Shapes(Tail::kPad)) {
    const OrderPlan plan(options);
    const std::int64_t rows = plan.rows_per_lane();
    EXPECT_EQ(plan.steps(2), 2 * ((plan.lane_size(0) + rows - 1) / rows));
  }
}

TEST(OrderTail, CarriedEpochsFollowEachOtherWithoutARest) {
  for (const OrderOptions& options : Shapes(Tail::kCarry)) {
    const OrderPlan plan(options);
    const std::int64_t rows = plan.rows_per_lane();
    for (std::int64_t epochs = 0; epochs < 9; ++epochs) {
      EXPECT_EQ(plan.steps(epochs), epochs * plan.lane_size(0) / rows);
    }
    // All steps of so many epochs, and the step that holds the last one's rest.
    const std::int64_t epochs = 5;
    const std::int64_t end = (epochs * plan.lane_size(0) + rows - 1) / rows;
    std::map<std::int64_t, std::set<std::int64_t>> planned;
    for (std::int64_t step = 0; step < end; ++step) {
      for (std::int64_t row = 0; row < options.batch_size; ++row) {
        const auto plan_of = plan.Row(step, row);
        if (!plan_of) continue;
        EXPECT_TRUE(planned[plan_of->epoch].insert(ToInt(plan_of->index)).second);
      }
    }
    // Of the first records of an epoch some may be in the batch with the last of the one before,
    // which goes first.
    std::int64_t missing = 0;
    for (std::int64_t epoch = 0; epoch < epochs; ++epoch) {
      missing += options.size - static_cast<std::int64_t>(planned[epoch].size());
    }
    EXPECT_EQ(static_cast<std::int64_t>(planned[0].size()), options.size);
    EXPECT_LE(missing, (epochs - 1) * options.batch_size);
  }
}

TEST(OrderTail, GivesNoRecordTwiceToTheRowsAndAttemptsOfAStep) {
  for (const Tail tail : {Tail::kPad, Tail::kCarry}) {
    for (const OrderOptions& options : Shapes(tail)) {
      const OrderPlan plan(options);
      for (std::int64_t step = 0; step < plan.steps(4); ++step) {
        ExpectNoRecordTwice(plan, step, /*attempts=*/9);
        ASSERT_FALSE(HasFailure()) << TailName(tail) << " size " << options.size;
      }
    }
  }
}

TEST(OrderTail, FillsEveryRowWhereAllRecordsAreGood) {
  int planned = 0;
  for (const Tail tail : {Tail::kPad, Tail::kCarry}) {
    for (const std::int64_t batch_size : {8, 64, 256}) {
      for (const double batches : {1.1, 1.6, 2.3, 3.1, 4.4, 6.2}) {
        for (const std::int64_t chunk : {1, 2}) {
          for (const std::int64_t window : {0, 16}) {
            const auto size = static_cast<std::int64_t>(batches * static_cast<double>(batch_size));
            try {
              const OrderPlan plan({.size = size,
                                    .batch_size = batch_size,
                                    .chunk = chunk,
                                    .window = window,
                                    .seed = 5,
                                    .tail = tail});
              for (std::int64_t step = 0; step < plan.steps(40); ++step) {
                for (std::int64_t row = 0; row < batch_size; ++row) Filled(plan, step, row);
              }
              ++planned;
            } catch (const std::invalid_argument&) {  // too small for such a batch
            }
          }
        }
      }
    }
  }
  EXPECT_GE(planned, 80);
}

TEST(OrderTail, RefusesWindowsThatCannotFillABatchAcrossEpochs) {
  EXPECT_EQ(ErrorOf({.size = 100, .batch_size = 64, .tail = Tail::kCarry}),
            "the last window of a lane has 6 records, but data.tail = carry needs 8 for a batch "
            "that takes 4 from each lane; raise data.window, or lower batch_size or data.chunk");
  EXPECT_NE(ErrorOf({.size = 100'000,
                     .batch_size = 1024,
                     .lanes = 8,
                     .chunk = 16,
                     .window = 128,
                     .tail = Tail::kPad})
                .find("data.tail = pad needs 128"),
            std::string::npos);
}

TEST(OrderTail, KeepsEveryRecordInItsLane) {
  for (const Tail tail : {Tail::kPad, Tail::kCarry}) {
    for (const OrderOptions& options : Shapes(tail)) {
      const OrderPlan plan(options);
      ExpectRecordsInTheirLanes(plan, plan.steps(3), /*stride=*/1);
    }
  }
}

TEST(OrderTail, TellsTheEpochThatAStepEndsIn) {
  for (const Tail tail : {Tail::kDrop, Tail::kPad, Tail::kCarry}) {
    for (const OrderOptions& options : Shapes(tail)) {
      const OrderPlan plan(options);
      for (std::int64_t epoch = 0, step = 0; epoch < 7; ++epoch) {
        for (; step < plan.steps(epoch + 1); ++step) EXPECT_EQ(plan.EpochOf(step), epoch);
      }
    }
  }
}

TEST(OrderTail, IsTheSameOrderUpToTheRest) {
  const OrderPlan drop({.size = 1000, .batch_size = 96, .seed = 5});
  for (const Tail tail : {Tail::kPad, Tail::kCarry}) {
    const OrderPlan other({.size = 1000, .batch_size = 96, .seed = 5, .tail = tail});
    for (std::int64_t step = 0; step < drop.steps(1); ++step) {
      for (std::int64_t row = 0; row < 96; ++row) {
        EXPECT_EQ(drop.Row(step, row)->index, other.Row(step, row)->index);
      }
    }
  }
}

TEST(OrderTail, TellsOfEveryChunkBeforeItsWindow) {
  for (const Tail tail : {Tail::kDrop, Tail::kPad, Tail::kCarry}) {
    const OrderPlan plan({.size = 20'011,
                          .batch_size = 64,
                          .lanes = 4,
                          .chunk = 16,
                          .window = 128,
                          .seed = 3,
                          .tail = tail});
    const std::int64_t steps_of_window = 128 / 16;
    const std::int64_t last_window =
        plan.steps(1) - plan.steps(1) % steps_of_window - steps_of_window;
    std::map<std::int64_t, std::int64_t> told, needed;  // chunk → step
    for (std::int64_t step = 0; step < plan.steps(1); ++step) {
      for (std::int64_t row = 0; row < 64; ++row) {
        if (const auto ahead = plan.Ahead(step, row)) {
          EXPECT_EQ(ToInt(ahead->first) % 16, 0);
          EXPECT_EQ(ahead->count, std::min<std::int64_t>(16, 20'011 - ToInt(ahead->first)));
          if (step >= plan.steps(1) - steps_of_window) continue;  // of the next epoch
          EXPECT_TRUE(told.emplace(ToInt(ahead->first) / 16, step).second);
        }
        if (const auto planned = plan.Row(step, row)) {
          needed.emplace(ToInt(planned->index) / 16, step);
        }
      }
    }
    for (const auto& [chunk, step] : needed) {
      if (step < steps_of_window) continue;  // the first window is not told of
      if (told.contains(chunk)) {
        // The last window may be one and a half.
        EXPECT_TRUE(told.at(chunk) < step || step >= last_window) << step;
      } else {
        EXPECT_GE(step, last_window);  // shuffled into it from behind the epoch's end
      }
    }
    EXPECT_GE(told.size(), 4 * (5000 - 128 - 16) / 16);
  }
}

TEST(OrderTail, HasANameAndNoOther) {
  for (const Tail tail : {Tail::kDrop, Tail::kPad, Tail::kCarry}) {
    EXPECT_EQ(TailOfName(TailName(tail)), tail);
  }
  EXPECT_THROW(TailOfName("roll"), std::invalid_argument);
}

// Orders of stored runs hang on these numbers: they never change.
TEST(OrderTail, KeepsItsFrozenVectors) {
  const auto rows = [](Tail tail, std::int64_t step) {
    const OrderPlan plan({.size = 103,
                          .batch_size = 8,
                          .lanes = 2,
                          .chunk = 5,
                          .window = 40,
                          .seed = 42,
                          .tail = tail});
    std::vector<std::int64_t> records;
    for (std::int64_t row = 0; row < 8; ++row)
      records.push_back(ToInt(Filled(plan, step, row).index));
    return records;
  };
  using V = std::vector<std::int64_t>;
  EXPECT_EQ(rows(Tail::kPad, 13), (V{52, 75, 93, 50, 68, 21, 29, 64}));
  EXPECT_EQ(rows(Tail::kCarry, 13), (V{52, 75, 93, 14, 15, 45, 46, 86}));
  EXPECT_EQ(rows(Tail::kCarry, 27), (V{92, 2, 6, 1, 35, 15, 48, 39}));
}

}  // namespace
}  // namespace fastclip
