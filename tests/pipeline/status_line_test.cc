#include "pipeline/base/status_line.h"

#include <gtest/gtest.h>

namespace fastclip {
namespace {

StatusLine Training() {
  StatusLine line;
  line.Add(3, "epoch 2/10")
      .Add(0, "step 120/910")
      .Bar(0.25)
      .Add(0, "loss 2.310")
      .Add(5, "")
      .Add(4, "lr 4.9e-04")
      .Add(1, "6 m 49 s left");
  return line;
}

TEST(StatusLine, HasAllFieldsAndNoBarOutsideATerminal) {
  EXPECT_EQ(Training().Whole(), "epoch 2/10  step 120/910  loss 2.310  lr 4.9e-04  6 m 49 s left");
}

TEST(StatusLine, LeavesOutTheLeastImportantFieldsOfANarrowTerminal) {
  EXPECT_EQ(Training().Fit(60, false),
            "step 120/910  [====>            ]  loss 2.310  6 m 49 s left");
  EXPECT_EQ(Training().Fit(40, false), "step 120/910  [===>        ]  loss 2.310");
  EXPECT_EQ(Training().Fit(24, false), "step 120/910  loss 2.310");
  EXPECT_EQ(Training().Fit(10, false), "step 120/…");
}

TEST(StatusLine, DrawsABarWhereSpaceIsLeft) {
  EXPECT_EQ(Training().Fit(80, false),
            "epoch 2/10  step 120/910  [===>         ]  loss 2.310  lr 4.9e-04  6 m 49 s left");
  EXPECT_EQ(Columns(Training().Fit(75, false)), 75u);
  const std::string wide = Training().Fit(200, false);
  EXPECT_NE(wide.find("[=======>                    ]"), std::string::npos) << wide;
}

TEST(StatusLine, NeverPassesTheWidthOfTheTerminal) {
  for (std::size_t columns = 1; columns < 120; ++columns) {
    EXPECT_LE(Columns(Training().Fit(columns, false)), columns);
  }
}

TEST(StatusLine, ColoursTheDonePartOfTheBarAlone) {
  EXPECT_NE(Training().Fit(80, true).find("[\033[32m===>\033[0m         ]"), std::string::npos);
}

TEST(StatusLine, CountsCharactersNotBytes) {
  EXPECT_EQ(Columns("a…ü"), 3u);
  EXPECT_EQ(StatusLine("données lues").Fit(5, false), "donn…");
}

}  // namespace
}  // namespace fastclip
