#include "pipeline/order/mix.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "tests/support/error_of.h"

namespace fastclip {
namespace {

using Rows = std::vector<std::int64_t>;

Rows RowsOf(const MixOptions& mix, const Rows& sizes) {
  Rows rows;
  const std::vector<MixPart> parts = MixOf(mix, sizes);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    EXPECT_EQ(parts[i].size, sizes[i]);
    rows.push_back(parts[i].rows);
  }
  return rows;
}

std::string Refusal(const MixOptions& mix, const Rows& sizes) {
  return ErrorOf<std::invalid_argument>([&] { MixOf(mix, sizes); });
}

TEST(Mix, SharesAnEpochByWeight) {
  EXPECT_EQ(RowsOf({.weights = {3, 1}}, {100, 900}), (Rows{750, 250}));
  EXPECT_EQ(RowsOf({.weights = {0.5, 0.25, 0.25}, .epoch_samples = 1001}, {10, 20, 30}),
            (Rows{501, 250, 250}));
  EXPECT_EQ(RowsOf({.weights = {1, 0}}, {100, 900}), (Rows{1000, 0}));
}

TEST(Mix, RepeatsRecords) {
  EXPECT_EQ(RowsOf({.repeats = {1, 2.5}}, {1000, 100}), (Rows{1000, 250}));
}

// OpenCLIP: a shard is drawn with a probability in proportion to its source's factor.
TEST(Mix, TakesUpsamplingFactorsOfAnEpochOfAnyLength) {
  EXPECT_EQ(RowsOf({.repeats = {1, 3}, .epoch_samples = 1300}, {1000, 100}), (Rows{1000, 300}));
  EXPECT_EQ(RowsOf({.repeats = {10, 30}, .epoch_samples = 130}, {1000, 100}), (Rows{100, 30}));
}

TEST(Mix, TakesCountsAsTheyAre) {
  EXPECT_EQ(RowsOf({.counts = {7, 5000}}, {1000, 100}), (Rows{7, 5000}));
}

TEST(Mix, OfAResampledSourceHasEpochsOfAnyLength) {
  EXPECT_TRUE(MixOf({.resampled = true}, Rows{1000, 100}).empty());
  const std::vector<MixPart> whole = {{1100, 7}};
  EXPECT_EQ(MixOf({.epoch_samples = 7, .resampled = true}, Rows{1000, 100}), whole);
}

TEST(Mix, OfNothingIsNone) { EXPECT_EQ(RowsOf({}, {1000, 100}), Rows{}); }

TEST(Mix, RefusesWhatCannotBeMeant) {
  EXPECT_EQ(Refusal({.weights = {1, 1}, .repeats = {1, 1}}, {5, 5}),
            "weights, repeats and counts cannot be combined; set only one of them");
  EXPECT_EQ(Refusal({.weights = {1, 1, 1}}, {5, 5}),
            "3 weights for 2 sources joined by '::'; set one per source");
  EXPECT_EQ(Refusal({.repeats = {1}}, {5}),
            "a mix needs at least two sources; join them with '::'");
  EXPECT_EQ(Refusal({.counts = {-1, 2}}, {5, 5}), "counts: -1 is not a valid count (must be >= 0)");
  EXPECT_EQ(Refusal({.weights = {0, 0}}, {5, 5}), "weights: all are 0; set at least one above 0");
  EXPECT_EQ(
      Refusal({.counts = {1, 2}, .epoch_samples = 9}, {5, 5}),
      "epoch_samples needs weights, repeats or resampled, and cannot be combined with counts");
  EXPECT_EQ(
      Refusal({.epoch_samples = 9}, {5, 5}),
      "epoch_samples needs weights, repeats or resampled, and cannot be combined with counts");
  EXPECT_EQ(Refusal({.repeats = {1e15, 1}}, {1'000'000, 5}),
            "an epoch of 1e+21 samples is too long; lower repeats");
}

}  // namespace
}  // namespace fastclip
