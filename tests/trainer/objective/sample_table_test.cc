#include "trainer/objective/sample_table.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <limits>
#include <set>
#include <stdexcept>

namespace fastclip {
namespace {

constexpr double kUnseen = -std::numeric_limits<double>::infinity();

OrderPlan Plan() { return OrderPlan({.size = 50, .batch_size = 8, .lanes = 4, .chunk = 3}); }

SampleTable Table(LaneRange lanes) {
  return SampleTable(Plan(), lanes, {"log_u_image", "log_u_text"}, {kUnseen, 2}, at::kFloat);
}

TEST(SampleTable, StartsWithEachColumnsInitialValue) {
  const SampleTable table = Table({0, 4});
  const std::vector<std::int64_t> indices = {0, 49, 17};
  const at::Tensor rows = table.Read(indices);
  EXPECT_EQ(rows.scalar_type(), at::kFloat);
  EXPECT_TRUE(rows.select(1, 0).eq(kUnseen).all().item<bool>());
  EXPECT_TRUE(rows.select(1, 1).eq(2).all().item<bool>());
}

TEST(SampleTable, HoldsEachRecordOnExactlyOneRank) {
  SampleTable first = Table({0, 1});
  SampleTable second = Table({1, 4});
  EXPECT_GE(first.values().size(0) + second.values().size(0), 50);
  int held = 0;
  for (std::int64_t index = 0; index < 50; ++index) {
    const std::vector<std::int64_t> one = {index};
    const at::Tensor row = at::full({1, 2}, static_cast<double>(index));
    for (SampleTable* table : {&first, &second}) {
      try {
        table->Write(one, row);
        ++held;
      } catch (const std::out_of_range&) {
      }
    }
  }
  EXPECT_EQ(held, 50);
  std::set<float> values;
  for (SampleTable* table : {&first, &second}) {
    const at::Tensor column = table->values().select(1, 1).contiguous();
    for (std::int64_t row = 0; row < column.size(0); ++row) {
      values.insert(column[row].item<float>());
    }
  }
  for (int index = 0; index < 50; ++index) EXPECT_TRUE(values.contains(static_cast<float>(index)));
}

TEST(SampleTable, KeepsTheLastOfEqualIndices) {
  SampleTable table = Table({0, 4});
  const std::vector<std::int64_t> indices = {5, 9, 5};
  table.Write(indices, at::arange(6, at::kDouble).view({3, 2}));
  const at::Tensor rows = table.Read(indices);
  EXPECT_TRUE(rows.equal(at::tensor({4.0F, 5.0F, 2.0F, 3.0F, 4.0F, 5.0F}).view({3, 2})));
}

TEST(SampleTable, MayHaveNoColumns) {
  SampleTable table(Plan(), {0, 4}, {}, {}, at::kFloat);
  const std::vector<std::int64_t> indices = {5, 9};
  EXPECT_EQ(table.Read(indices).size(1), 0);
  table.Write(indices, at::Tensor());
}

TEST(SampleTable, RefusesWhatIsNotItsOwn) {
  SampleTable table = Table({0, 4});
  const std::vector<std::int64_t> past = {50};
  const std::vector<std::int64_t> negative = {-1};
  const std::vector<std::int64_t> one = {1};
  EXPECT_THROW(table.Read(past), std::out_of_range);
  EXPECT_THROW(table.Read(negative), std::out_of_range);
  EXPECT_THROW(table.Write(one, at::zeros({2, 2})), std::invalid_argument);
  EXPECT_THROW(table.Write(one, at::zeros({1, 3})), std::invalid_argument);
}

}  // namespace
}  // namespace fastclip
