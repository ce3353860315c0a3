#include "pipeline/loader/batch_window.h"

#include <gtest/gtest.h>

#include <memory_resource>
#include <stdexcept>
#include <vector>

namespace fastclip {
namespace {

/// Three batches of two rows; Open() fails for `broken`.
class ThreeBatches final : public BatchFeed {
 public:
  std::int64_t batches() const override { return 3; }
  int rows(std::int64_t) const override { return 2; }
  void Open(std::int64_t batch, Batch::Storage& storage) const override {
    if (batch == broken) throw std::runtime_error("no memory");
    storage.Shape(batch, 0, 2, 1, 2);
  }
  std::optional<RowPlan> Plan(std::int64_t, int, std::int64_t) const override { return {}; }
  std::optional<RecordRange> Ahead(std::int64_t, int) const override { return {}; }
  std::int64_t records_ahead() const override { return 0; }
  bool substitutes() const override { return true; }
  std::optional<Skip> Write(const Record&, const RowPlan&, int, Batch::Storage&,
                            StageCounters&) const override {
    return {};
  }
  void LeaveOut(int, Skip, Batch::Storage&) const override {}
  void Close(Batch::Storage&) const override {}

  std::int64_t broken = -1;
};

class BatchWindowTest : public testing::Test {
 protected:
  ThreeBatches feed_;
  BatchRing ring_{std::pmr::new_delete_resource()};
  BatchWindow window_{feed_, ring_, 2};
};

TEST_F(BatchWindowTest, OpensNoMoreBatchesThanItHolds) {
  for (const int row : {0, 1, 0, 1}) {
    ASSERT_TRUE(window_.HasRow());
    EXPECT_EQ(window_.TakeRow()->row, row);
  }
  EXPECT_FALSE(window_.HasRow());
}

TEST_F(BatchWindowTest, DeliversBatchesInOrderWhicheverIsCompleteFirst) {
  std::vector<BatchWindow::Row> rows;
  while (window_.HasRow()) rows.push_back(*window_.TakeRow());
  ASSERT_EQ(rows.size(), 4u);
  EXPECT_FALSE(window_.Finish(*rows[2].batch, {}));
  EXPECT_TRUE(window_.Finish(*rows[3].batch, {}));
  EXPECT_FALSE(window_.HeadIsComplete());
  EXPECT_EQ(window_.complete(), 1);
  window_.Finish(*rows[0].batch, {});
  window_.Finish(*rows[1].batch, {});
  EXPECT_EQ(window_.TakeHead()->step, 0);
  EXPECT_EQ(window_.TakeHead()->step, 1);
  EXPECT_FALSE(window_.IsOver());
  for (int row = 0; row < 2; ++row) window_.Finish(*window_.TakeRow()->batch, {});
  EXPECT_EQ(window_.TakeHead()->step, 2);
  EXPECT_TRUE(window_.IsOver());
  EXPECT_FALSE(window_.HasRow());
}

TEST_F(BatchWindowTest, CountsWhatItsRowsSkipped) {
  const auto first = window_.TakeRow();
  window_.Finish(*first->batch, std::vector<SkippedRecord>{{SampleIndex{7}, Skip::kMissing},
                                                           {SampleIndex{9}, Skip::kTooLarge}});
  window_.Finish(*window_.TakeRow()->batch, {});
  const auto storage = window_.TakeHead();
  EXPECT_EQ(storage->skips.total(), 2);
  EXPECT_EQ(storage->skips[Skip::kMissing], 1);
  EXPECT_EQ(storage->skipped.size(), 2u);
}

TEST_F(BatchWindowTest, KeepsTheFirstErrorAndOpensNothingAfterIt) {
  const auto row = window_.TakeRow();
  window_.Fail(*row->batch, std::make_exception_ptr(std::runtime_error("first")));
  window_.Fail(*row->batch, std::make_exception_ptr(std::runtime_error("second")));
  ASSERT_TRUE(window_.HeadFailed());
  EXPECT_TRUE(window_.HeadIsThere());
  try {
    std::rethrow_exception(window_.Head()->error);
  } catch (const std::runtime_error& error) {
    EXPECT_STREQ(error.what(), "first");
  }
  ASSERT_TRUE(window_.HasRow());  // the opened batch's other row
  EXPECT_EQ(window_.TakeRow()->row, 1);
  EXPECT_FALSE(window_.HasRow());
}

TEST_F(BatchWindowTest, FailsWhereABatchCannotBeOpened) {
  feed_.broken = 1;
  for (int row = 0; row < 2; ++row) window_.Finish(*window_.TakeRow()->batch, {});
  ASSERT_TRUE(window_.HasRow());
  EXPECT_FALSE(window_.TakeRow().has_value());
  EXPECT_FALSE(window_.HasRow());
  EXPECT_TRUE(window_.HeadIsComplete());  // the one before it still comes
  window_.TakeHead();
  EXPECT_TRUE(window_.HeadFailed());
}

}  // namespace
}  // namespace fastclip
