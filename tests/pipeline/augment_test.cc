#include "pipeline/pixels/augment.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <ostream>
#include <set>
#include <stdexcept>
#include <tuple>
#include <vector>

namespace fastclip {

bool operator==(const CropBox& a, const CropBox& b) {
  return std::tie(a.top, a.left, a.height, a.width) == std::tie(b.top, b.left, b.height, b.width);
}

std::ostream& operator<<(std::ostream& out, const CropBox& box) {
  return out << "{" << box.top << ", " << box.left << ", " << box.height << ", " << box.width
             << "}";
}

namespace {

bool Inside(const CropBox& box, int width, int height) {
  return box.top >= 0 && box.left >= 0 && box.height >= 1 && box.width >= 1 &&
         box.top + box.height <= height && box.left + box.width <= width;
}

TEST(RandomCrop, KeepsItsFrozenVectors) {
  // Written once: a stored run's pictures hang on them.
  const AugmentOptions wide{.scale_min = 0.08};
  EXPECT_EQ(RandomCrop(640, 480, {}, 0, 0, SampleIndex{0}), (CropBox{8, 33, 467, 594}));
  EXPECT_EQ(RandomCrop(640, 480, {}, 0, 1, SampleIndex{0}), (CropBox{0, 9, 479, 581}));
  EXPECT_EQ(RandomCrop(640, 480, {}, 1, 0, SampleIndex{0}), (CropBox{0, 13, 480, 614}));
  EXPECT_EQ(RandomCrop(256, 341, wide, 42, 3, SampleIndex{123'456'789}),
            (CropBox{107, 79, 94, 95}));
  EXPECT_EQ(RandomCrop(341, 256, wide, 42, 3, SampleIndex{123'456'790}),
            (CropBox{18, 57, 192, 209}));
  EXPECT_EQ(RandomCrop(5000, 4999, wide, 9, 31, SampleIndex{1LL << 40}),
            (CropBox{1080, 516, 1575, 1440}));
}

TEST(RandomCrop, IsAFunctionOfSeedEpochAndIndex) {
  const AugmentOptions wide{.scale_min = 0.08};  // rarely falls back
  const CropBox box = RandomCrop(640, 480, wide, 5, 6, SampleIndex{7});
  EXPECT_EQ(RandomCrop(640, 480, wide, 5, 6, SampleIndex{7}), box);
  EXPECT_FALSE(RandomCrop(640, 480, wide, 6, 6, SampleIndex{7}) == box);
  EXPECT_FALSE(RandomCrop(640, 480, wide, 5, 7, SampleIndex{7}) == box);
  EXPECT_FALSE(RandomCrop(640, 480, wide, 5, 6, SampleIndex{8}) == box);
}

TEST(RandomCrop, StaysInsideAndWithinItsRanges) {
  const AugmentOptions options{.scale_min = 0.08, .scale_max = 0.5};
  for (int index = 0; index < 3000; ++index) {
    const CropBox box = RandomCrop(400, 300, options, 1, 0, SampleIndex{index});
    ASSERT_TRUE(Inside(box, 400, 300)) << box;
    // Sides are rounded to whole pixels: some percent of slack on a side of 80 and more.
    const double share = static_cast<double>(box.width) * box.height / (400 * 300);
    EXPECT_GT(share, 0.08 * 0.98) << box;
    EXPECT_LT(share, 0.5 * 1.02) << box;
    const double ratio = static_cast<double>(box.width) / box.height;
    EXPECT_GT(ratio, 0.75 * 0.98) << box;
    EXPECT_LT(ratio, 4.0 / 3 * 1.02) << box;
  }
}

TEST(RandomCrop, SpreadsAreaEvenlyAndRatioByItsLogarithm) {
  const AugmentOptions options{.scale_min = 0.1, .scale_max = 0.3};
  constexpr int kDraws = 20'000;
  double area = 0;
  double log_ratio = 0;
  double top = 0;
  for (int index = 0; index < kDraws; ++index) {
    const CropBox box = RandomCrop(1000, 1000, options, 2, 0, SampleIndex{index});
    area += static_cast<double>(box.width) * box.height / 1e6;
    log_ratio += std::log(static_cast<double>(box.width) / box.height);
    top += static_cast<double>(box.top) / (1000 - box.height);
  }
  // Five standard deviations of each mean.
  EXPECT_NEAR(area / kDraws, 0.2, 5 * 0.0577 / std::sqrt(kDraws));
  EXPECT_NEAR(log_ratio / kDraws, 0, 5 * 0.166 / std::sqrt(kDraws));
  EXPECT_NEAR(top / kDraws, 0.5, 5 * 0.289 / std::sqrt(kDraws));
}

TEST(RandomCrop, FallsBackToTheCenter) {
  // Nine tenths of a strip never have a ratio within 3/4 to 4/3.
  EXPECT_EQ(RandomCrop(1000, 100, {}, 1, 1, SampleIndex{1}), (CropBox{0, 433, 100, 133}));
  EXPECT_EQ(RandomCrop(99, 1000, {}, 1, 1, SampleIndex{1}), (CropBox{434, 0, 132, 99}));
  EXPECT_EQ(RandomCrop(1, 65'535, {}, 1, 1, SampleIndex{1}), (CropBox{32'767, 0, 1, 1}));
  EXPECT_EQ(RandomCrop(2'147'483'647, 1, {}, 1, 1, SampleIndex{1}).width, 1);
}

TEST(RandomCrop, ServesTheSmallestPictures) {
  for (int width = 1; width <= 4; ++width) {
    for (int height = 1; height <= 4; ++height) {
      for (int index = 0; index < 50; ++index) {
        const CropBox box = RandomCrop(width, height, {}, 3, 0, SampleIndex{index});
        EXPECT_TRUE(Inside(box, width, height)) << box << " of " << width << " x " << height;
      }
    }
  }
  EXPECT_THROW(RandomCrop(0, 5, {}, 0, 0, SampleIndex{0}), std::invalid_argument);
}

TEST(RandomCrop, IsTheWholePictureWhereNothingElseIsAllowed) {
  const AugmentOptions whole{.scale_min = 1, .scale_max = 1, .ratio_min = 1, .ratio_max = 1};
  EXPECT_EQ(RandomCrop(33, 33, whole, 0, 0, SampleIndex{0}), (CropBox{0, 0, 33, 33}));
}

TEST(ChooseCaption, KeepsItsFrozenVectors) {
  const std::array<Caption, 3> captions = {{{"a", 1}, {"b", 2}, {"c", 5}}};
  std::vector<int> chosen;
  for (int epoch = 0; epoch < 12; ++epoch) {
    chosen.push_back(ChooseCaption(captions, 11, epoch, SampleIndex{5}));
  }
  EXPECT_EQ(chosen, (std::vector<int>{2, 2, 2, 2, 1, 2, 0, 2, 1, 2, 1, 2}));
}

TEST(ChooseCaption, FollowsTheWeights) {
  const std::array<Caption, 4> captions = {{{"a", 1}, {"b", 0}, {"c", 3}, {"d", -7}}};
  std::array<int, 4> counts{};
  for (int index = 0; index < 20'000; ++index) {
    ++counts[ChooseCaption(captions, 1, 0, SampleIndex{index})];
  }
  EXPECT_NEAR(counts[0], 5000, 310);  // five standard deviations
  EXPECT_EQ(counts[1], 0);
  EXPECT_EQ(counts[3], 0);
  EXPECT_EQ(counts[0] + counts[2], 20'000);
}

TEST(ChooseCaption, IsEvenWhereNoWeightIsUsable) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  const std::array<Caption, 3> captions = {{{"a", 0}, {"b", nan}, {"c", infinity}}};
  std::set<int> chosen;
  for (int index = 0; index < 100; ++index) {
    chosen.insert(ChooseCaption(captions, 1, 0, SampleIndex{index}));
  }
  EXPECT_EQ(chosen, (std::set<int>{0, 1, 2}));
}

TEST(ChooseCaption, NeedsACaption) {
  EXPECT_THROW(ChooseCaption({}, 0, 0, SampleIndex{0}), std::invalid_argument);
}

}  // namespace
}  // namespace fastclip
