#include "trainer/log/skip_limit.h"

#include <gtest/gtest.h>

namespace fastclip {
namespace {

constexpr double kTenPercent = 100;

TEST(SkipLimit, IsAShareOfTheTriesFromAThousandOn) {
  constexpr std::int64_t kMany = 1'000'000;
  EXPECT_FALSE(TooManyBad({.bad = 999, .tried = 999, .records = kMany}, kTenPercent));
  EXPECT_FALSE(TooManyBad({.bad = 100, .tried = 1000, .records = kMany}, kTenPercent));
  EXPECT_TRUE(TooManyBad({.bad = 101, .tried = 1000, .records = kMany}, kTenPercent));
  EXPECT_FALSE(TooManyBad({.bad = 2000, .tried = 2000, .records = kMany}, 1000));
}

TEST(SkipLimit, LetsASmallSetHaveOneBadRecord) {
  // Of five records one is 20 % of the tries, in each of 200 epochs; two are too many.
  EXPECT_FALSE(TooManyBad({.bad = 200, .tried = 1000, .records = 5}, kTenPercent));
  EXPECT_TRUE(TooManyBad({.bad = 400, .tried = 1000, .records = 5}, kTenPercent));
  // Where the limit is less than one record of the set.
  EXPECT_FALSE(TooManyBad({.bad = 2, .tried = 1200, .records = 1000}, 0.5));
  EXPECT_TRUE(TooManyBad({.bad = 3, .tried = 1200, .records = 1000}, 0.5));
}

TEST(SkipLimit, OfZeroAllowsNone) {
  EXPECT_FALSE(TooManyBad({.bad = 0, .tried = 5000, .records = 10}, 0));
  EXPECT_TRUE(TooManyBad({.bad = 1, .tried = 5000, .records = 10}, 0));
}

}  // namespace
}  // namespace fastclip
