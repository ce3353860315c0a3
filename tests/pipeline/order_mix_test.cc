#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "pipeline/order/order_plan.h"
#include "tests/pipeline/order_checks.h"

namespace fastclip {
namespace {

OrderOptions Mixed(std::vector<MixPart> parts, std::int64_t batch_size, Tail tail = Tail::kDrop) {
  OrderOptions options{.batch_size = batch_size, .seed = 7, .tail = tail};
  for (const MixPart& part : parts) options.size += part.size;
  options.parts = std::move(parts);
  return options;
}

/// Parts of all sizes: some seen often, one in a part of an epoch, one not at all.
std::vector<OrderOptions> Mixes(Tail tail) {
  return {Mixed({{1000, 1000}, {500, 500}}, 64, tail),
          Mixed({{1000, 700}, {100, 900}, {333, 111}}, 32, tail),
          Mixed({{5000, 100}, {260, 3000}, {700, 0}, {901, 901}}, 48, tail),
          Mixed({{64, 64}, {128, 256}}, 16, tail)};
}

std::size_t PartOf(const OrderPlan& plan, SampleIndex index) {
  std::int64_t left = ToInt(index);
  std::size_t part = 0;
  while (left >= plan.options().parts[part].size) left -= plan.options().parts[part++].size;
  return part;
}

/// Rows of each part in the steps.
std::vector<std::int64_t> Counts(const OrderPlan& plan, std::int64_t first, std::int64_t last) {
  std::vector<std::int64_t> counts(plan.options().parts.size());
  for (std::int64_t step = first; step < last; ++step) {
    for (std::int64_t row = 0; row < plan.options().batch_size; ++row) {
      ++counts[PartOf(plan, Filled(plan, step, row).index)];
    }
  }
  return counts;
}

std::vector<std::int64_t> RowsOf(const OrderPlan& plan) {
  std::vector<std::int64_t> rows;
  for (const MixPart& part : plan.options().parts) rows.push_back(part.rows);
  return rows;
}

TEST(OrderMix, TakesTheCountsOfAnEpochExactly) {
  for (const Tail tail : {Tail::kDrop, Tail::kPad}) {
    for (const OrderOptions& options : Mixes(tail)) {
      const OrderPlan plan(options);
      for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
        EXPECT_EQ(Counts(plan, plan.steps(epoch), plan.steps(epoch + 1)), RowsOf(plan));
      }
      // The asked ones, to whole steps.
      std::int64_t asked = 0, taken = 0;
      for (std::size_t p = 0; p < options.parts.size(); ++p) {
        asked += options.parts[p].rows;
        taken += plan.options().parts[p].rows;
      }
      EXPECT_LT(std::abs(asked - taken), options.batch_size);
      for (std::size_t p = 0; p < options.parts.size(); ++p) {
        const double share = static_cast<double>(options.parts[p].rows) * taken / asked;
        EXPECT_LT(std::abs(plan.options().parts[p].rows - share), 1.0);
      }
    }
  }
}

TEST(OrderMix, CarriesItsCountsOverEpochs) {
  for (const OrderOptions& options : Mixes(Tail::kCarry)) {
    const OrderPlan plan(options);
    const std::int64_t rows = plan.rows_per_lane();
    std::int64_t epochs = 1;  // until the border of an epoch is one of a step
    const std::int64_t lane_rows = [&] {
      std::int64_t sum = 0;
      for (const MixPart& part : plan.options().parts) sum += part.rows;
      return sum / plan.options().lanes;
    }();
    while (epochs * lane_rows % rows != 0) ++epochs;
    auto expected = RowsOf(plan);
    for (std::int64_t& count : expected) count *= epochs;
    EXPECT_EQ(Counts(plan, 0, plan.steps(epochs)), expected);
  }
}

TEST(OrderMix, SpreadsThePartsOverTheSteps) {
  for (const OrderOptions& options : Mixes(Tail::kDrop)) {
    const OrderPlan plan(options);
    const auto rows = RowsOf(plan);
    for (std::int64_t step = 0; step < plan.steps(2); step += 3) {
      for (std::int64_t lane = 0; lane < plan.options().lanes; ++lane) {
        std::vector<double> counts(rows.size());
        for (std::int64_t row = 0; row < plan.rows_per_lane(); ++row) {
          ++counts[PartOf(plan, Filled(plan, step, lane * plan.rows_per_lane() + row).index)];
        }
        for (std::size_t p = 0; p < counts.size(); ++p) {
          const double share = static_cast<double>(rows[p]) / plan.steps(1) / plan.options().lanes;
          EXPECT_LT(std::abs(counts[p] - share), 2) << p;
        }
      }
    }
  }
}

TEST(OrderMix, GivesNoRecordTwiceToTheRowsAndAttemptsOfAStep) {
  for (const Tail tail : {Tail::kDrop, Tail::kPad, Tail::kCarry}) {
    for (const OrderOptions& options : Mixes(tail)) {
      const OrderPlan plan(options);
      for (std::int64_t step = 0; step < plan.steps(3); ++step) {
        ExpectNoRecordTwice(plan, step, /*attempts=*/9);
        ASSERT_FALSE(HasFailure());
      }
    }
  }
}

TEST(OrderMix, FillsEveryRowWhereAllRecordsAreGood) {
  int planned = 0;
  for (const std::int64_t size : {130, 300, 700, 1200, 5000}) {
    for (const std::int64_t batch_size : {64, 256, 1024}) {
      for (const std::int64_t rows : {1000, 20'000}) {
        OrderOptions options = Mixed({{20'000, 20'000}, {size, rows}}, batch_size);
        options.chunk = size % 3 == 0 ? 8 : 0;
        try {
          const OrderPlan plan(options);
          for (std::int64_t step = 0; step < 60; ++step) {
            for (std::int64_t row = 0; row < batch_size; ++row) Filled(plan, step, row);
          }
          ++planned;
        } catch (const std::invalid_argument&) {  // too small for such a batch
        }
      }
    }
  }
  EXPECT_GE(planned, 15);
}

TEST(OrderMix, TakesNoRecordOfAPartAgainBeforeAllHaveCome) {
  const OrderPlan plan(Mixed({{4096, 4096}, {512, 2048}}, 64));
  std::map<std::int64_t, std::int64_t> visits;
  for (std::int64_t step = 0; step < plan.steps(2); ++step) {
    for (std::int64_t row = 0; row < 64; ++row) {
      const auto planned = plan.Row(step, row);
      if (planned) ++visits[ToInt(planned->index)];
    }
  }
  // Two epochs: the first part twice, the other eight times; where an epoch of a part begins again
  // inside of a step, a record that came just now gives way to a substitute.
  std::int64_t other = 0;
  for (const auto& [index, count] : visits) {
    const int expected = index < 4096 ? 2 : 8;
    EXPECT_LE(count, expected);
    other += count != expected;
  }
  EXPECT_EQ(visits.size(), 4608u);
  EXPECT_LT(other, 100);
}

TEST(OrderMix, GivesEveryRecordASlotOfItsOwn) {
  for (const OrderOptions& options : Mixes(Tail::kDrop)) {
    const OrderPlan plan(options);
    ExpectSlotsOfTheirOwn(plan);
    ExpectRecordsInTheirLanes(plan, plan.steps(1), /*stride=*/5);
  }
}

TEST(OrderMix, OfStoredOptionsIsTheSame) {
  for (const Tail tail : {Tail::kDrop, Tail::kPad, Tail::kCarry}) {
    for (const OrderOptions& options : Mixes(tail)) {
      const OrderPlan plan(options);
      const OrderPlan again(plan.options());
      EXPECT_EQ(again.options().parts, plan.options().parts);
      EXPECT_EQ(again.steps(3), plan.steps(3));
      for (std::int64_t step = 0; step < plan.steps(1); step += 7) {
        EXPECT_EQ(Filled(plan, step, 5).index, Filled(again, step, 5).index);
      }
    }
  }
}

TEST(OrderMix, RefusesWhatCannotBe) {
  EXPECT_EQ(ErrorOf(Mixed({{1000, 1000}, {8, 1000}}, 64)),
            "source 2 of 2 has 8 records in 16 lanes, and a batch takes up to 2 from each lane, so "
            "a batch would repeat records; use fewer than 992 samples of it per epoch, lower "
            "data.lanes, or raise data.window");
  EXPECT_EQ(ErrorOf(Mixed({{1000, 10}, {8, 10}}, 64)),
            "an epoch of 20 samples is smaller than one batch of 64; lower batch_size, or raise "
            "data.epoch_samples, data.repeats or data.counts");
  OrderOptions other = Mixed({{10, 10}, {10, 10}}, 8);
  other.size = 21;
  EXPECT_EQ(ErrorOf(other), "the sources of the mix have 20 records, but the data has 21");
  EXPECT_EQ(ErrorOf(Mixed({{10, -1}, {10, 10}}, 8)),
            "a source of 10 records cannot fill -1 samples of an epoch");
}

// Orders of stored runs hang on these numbers: they never change.
TEST(OrderMix, KeepsItsFrozenVectors) {
  const OrderPlan plan(Mixed({{1000, 700}, {100, 900}, {333, 111}}, 32));
  const auto rows = [&](std::int64_t step) {
    std::vector<std::int64_t> records;
    for (std::int64_t row = 0; row < 8; ++row)
      records.push_back(ToInt(Filled(plan, step, row).index));
    return records;
  };
  using V = std::vector<std::int64_t>;
  EXPECT_EQ(RowsOf(plan), (V{693, 892, 111}));
  EXPECT_EQ(rows(0), (V{827, 1040, 1024, 1151, 34, 937, 1089, 1306}));
  EXPECT_EQ(rows(40), (V{829, 497, 1062, 1015, 156, 1022, 1027, 1073}));
}

}  // namespace
}  // namespace fastclip
