#include "pipeline/loader/row_reader.h"

#include <gtest/gtest.h>

#include <memory>

#include "pipeline/loader/batch_feed.h"
#include "tests/pipeline/loader_fixture.h"
#include "tests/support/fake_source.h"

namespace fastclip {
namespace {

/// Records 0 to 9 in order, as an evaluation reads them: no substitutes.
class RowReaderTest : public testing::Test {
 protected:
  RowReader Reader() { return {source_, *feed_, options_, runtime_, counters_}; }

  FakeSource source_{10};
  ByteTokenizer tokenizer_;
  LoaderOptions options_ = Options();
  KnownBad known_;
  LoaderRuntime runtime_{.known_bad = &known_};
  StageCounters counters_;
  std::unique_ptr<BatchFeed> feed_ =
      MakeEvaluationFeed(SampleIndex{0}, SampleIndex{10}, 10, tokenizer_, options_, runtime_);
};

TEST_F(RowReaderTest, FindsThePlannedRecordAndCountsItsBytes) {
  RowSearch row{.row = 3};
  EXPECT_EQ(Reader().Read(row, {}), RowReader::Outcome::kFound);
  EXPECT_EQ(row.plan.index, SampleIndex{3});
  EXPECT_GE(row.bytes, std::ssize(source_.image_of(3)));
  EXPECT_EQ(counters_.read.Get().items, 1);
}

TEST_F(RowReaderTest, LeavesABadRecordOutAndRemembersIt) {
  source_.bad[4] = Skip::kUndecodable;
  RowSearch row{.row = 4};
  EXPECT_EQ(Reader().Read(row, {}), RowReader::Outcome::kLeftOut);
  ASSERT_EQ(row.skipped.size(), 1u);
  EXPECT_EQ(row.skipped[0].index, SampleIndex{4});
  EXPECT_EQ(row.skipped[0].cause, Skip::kUndecodable);
  EXPECT_EQ(known_.Find(SampleIndex{4}), row.skipped[0]);

  RowSearch again{.row = 4};
  source_.before_read = [](std::int64_t, std::stop_token) { FAIL() << "it is known to be bad"; };
  EXPECT_EQ(Reader().Read(again, {}), RowReader::Outcome::kLeftOut);
}

TEST_F(RowReaderTest, RemembersNothingThatMayBePutRight) {
  for (const Skip cause : {Skip::kMissing, Skip::kChanged}) {
    source_.bad[5] = cause;
    RowSearch row{.row = 5};
    EXPECT_EQ(Reader().Read(row, {}), RowReader::Outcome::kLeftOut);
    EXPECT_FALSE(known_.Find(SampleIndex{5}));
  }
}

TEST_F(RowReaderTest, TakesTheNextAttemptInTrainingAndGivesUpAfterTheLimit) {
  for (std::int64_t i = 0; i < 10; ++i) source_.bad[i] = Skip::kNoCaption;
  const OrderPlan plan({.size = 10, .batch_size = 2, .lanes = 1, .seed = 1});
  options_.max_skips_in_a_row = 3;
  feed_ = MakeTrainingFeed(plan, {0, 1}, 0, 1, tokenizer_, options_, runtime_);
  RowSearch row;
  EXPECT_THROW(Reader().Read(row, {}), std::runtime_error);
  EXPECT_EQ(row.skipped.size(), 3u);

  for (std::int64_t i = 0; i < 10; ++i) source_.bad[i] = Skip::kMissing;  // not remembered
  KnownBad given_up;
  runtime_.given_up = &given_up;
  RowSearch again;
  EXPECT_THROW(Reader().Read(again, {}), std::runtime_error);
  EXPECT_EQ(given_up.All().size(), 3u);
  for (std::int64_t i = 0; i < 10; ++i) source_.bad[i] = Skip::kNoCaption;

  source_.bad.erase(ToInt(row.skipped[1].index));
  KnownBad nothing;
  runtime_.known_bad = &nothing;
  RowSearch found;
  EXPECT_EQ(Reader().Read(found, {}), RowReader::Outcome::kFound);
  EXPECT_EQ(found.plan.index, row.skipped[1].index);
  EXPECT_EQ(found.skipped.size(), 1u);
}

TEST_F(RowReaderTest, StopsWhenAsked) {
  std::stop_source stop;
  stop.request_stop();
  RowSearch row;
  EXPECT_EQ(Reader().Read(row, stop.get_token()), RowReader::Outcome::kStopped);
}

}  // namespace
}  // namespace fastclip
