#include "pipeline/pixels/resize.h"

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <cstdint>
#include <stdexcept>
#include <thread>
#include <vector>

#include "pipeline/pixels/axis_weights.h"
#include "pipeline/pixels/image.h"

namespace fastclip {
namespace {

Image Noise(int width, int height) {
  Image image{width, height, std::vector<std::uint8_t>(std::size_t{3} * width * height)};
  std::uint32_t state = 1;
  for (std::uint8_t& value : image.pixels) {
    state = state * 1664525 + 1013904223;
    value = static_cast<std::uint8_t>(state >> 24);
  }
  return image;
}

Image Plain(int width, int height, std::uint8_t value) {
  return {width, height, std::vector<std::uint8_t>(std::size_t{3} * width * height, value)};
}

std::vector<std::uint8_t> Resized(const Image& image, const CropBox& box, int width, int height) {
  std::vector<std::uint8_t> out(std::size_t{3} * width * height);
  ResizeBicubic(image, box, width, height, out);
  return out;
}

std::vector<std::uint8_t> Centered(const Image& image, int size) {
  std::vector<std::uint8_t> out(std::size_t{3} * size * size);
  ResizeCenterCrop(image, size, out);
  return out;
}

TEST(Resize, WeightsOfEveryPixelSumToOne) {
  AxisWeights weights;
  for (const auto& [in, out] : {std::pair{1, 224}, {7, 3}, {224, 224}, {4000, 224}, {3, 1000}}) {
    weights.Compute(in, out, 0, out);
    for (int pixel = 0; pixel < out; ++pixel) {
      std::int64_t sum = 0;
      for (int tap = 0; tap < weights.taps[pixel].count; ++tap) sum += weights.of(pixel)[tap];
      // Each weight is rounded by itself.
      EXPECT_NEAR(static_cast<double>(sum), 1 << AxisWeights::kBits, weights.stride);
      EXPECT_GE(weights.taps[pixel].first, 0);
      EXPECT_LE(weights.taps[pixel].first + weights.taps[pixel].count, in);
    }
  }
}

TEST(Resize, WeightsDoNotDependOnWhichPixelsAreWanted) {
  AxisWeights all;
  AxisWeights some;
  all.Compute(100, 37, 0, 37);
  some.Compute(100, 37, 11, 5);
  for (int pixel = 0; pixel < 5; ++pixel) {
    EXPECT_EQ(some.taps[pixel].first, all.taps[11 + pixel].first);
    ASSERT_EQ(some.taps[pixel].count, all.taps[11 + pixel].count);
    for (int tap = 0; tap < some.taps[pixel].count; ++tap) {
      EXPECT_EQ(some.of(pixel)[tap], all.of(11 + pixel)[tap]);
    }
  }
}

TEST(Resize, ToItsOwnSizeIsTheCrop) {
  const Image image = Noise(20, 10);
  const auto out = Resized(image, {3, 5, 4, 7}, 7, 4);
  for (int y = 0; y < 4; ++y) {
    for (int x = 0; x < 3 * 7; ++x) {
      EXPECT_EQ(out[y * 21 + x], image.pixels[(y + 3) * 60 + 15 + x]);
    }
  }
}

TEST(Resize, SeesNothingOutsideTheBox) {
  Image image = Noise(20, 20);
  const CropBox box{5, 6, 9, 8};
  const auto before = Resized(image, box, 5, 12);
  for (int y = 0; y < 20; ++y) {
    for (int x = 0; x < 20; ++x) {
      const bool inside = y >= 5 && y < 14 && x >= 6 && x < 14;
      if (!inside) image.pixels[3 * (y * 20 + x)] ^= 0xff;
    }
  }
  EXPECT_EQ(Resized(image, box, 5, 12), before);
}

TEST(Resize, KeepsAPlainPicture) {
  for (const std::uint8_t value : {0, 1, 127, 254, 255}) {
    for (const auto& [width, height] : {std::pair{1, 1}, {1, 500}, {500, 1}, {300, 200}, {2, 3}}) {
      const std::vector<std::uint8_t> wanted(3 * 32 * 32, value);
      EXPECT_EQ(Centered(Plain(width, height, value), 32), wanted) << width << " x " << height;
      EXPECT_EQ(Resized(Plain(width, height, value), {0, 0, height, width}, 32, 32), wanted)
          << width << " x " << height;
    }
  }
}

TEST(Resize, CentersAPictureThatIsOnePixelThin) {
  // 1 x 65,000 scaled to 224 would be 224 x 14,560,000: only the middle is made.
  EXPECT_EQ(Centered(Plain(1, 65'000, 9), 224), std::vector<std::uint8_t>(3 * 224 * 224, 9));
  EXPECT_EQ(Centered(Plain(20'000'000, 1, 9), 224), std::vector<std::uint8_t>(3 * 224 * 224, 9));
}

TEST(Resize, RoundsHalfAMarginToTheEvenNumber) {
  // 8 x 8 of 8 x 9 begins at round(0.5) = 0, of 8 x 11 at round(1.5) = 2.
  const Image nine = Noise(8, 9);
  EXPECT_EQ(Centered(nine, 8), Resized(nine, {0, 0, 8, 8}, 8, 8));
  const Image eleven = Noise(8, 11);
  EXPECT_EQ(Centered(eleven, 8), Resized(eleven, {2, 0, 8, 8}, 8, 8));
}

TEST(Resize, GivesEveryThreadTheSameBytes) {
  const Image image = Noise(301, 199);
  const auto wanted = Resized(image, {10, 20, 150, 250}, 64, 64);
  std::vector<std::vector<std::uint8_t>> made(4);
  {
    std::vector<std::jthread> threads;
    for (auto& out : made) {
      threads.emplace_back([&] { out = Resized(image, {10, 20, 150, 250}, 64, 64); });
    }
  }
  for (const auto& out : made) EXPECT_EQ(out, wanted);
}

TEST(Resize, EveryInstructionSetGivesTheSameBytes) {
  struct Case {
    int width, height;
    CropBox box;
    int out_width, out_height;
  };
  const Case cases[] = {{301, 199, {10, 20, 150, 250}, 224, 224}, {40, 30, {0, 0, 30, 40}, 97, 64},
                        {900, 5, {0, 0, 5, 900}, 7, 11},          {1, 1, {0, 0, 1, 1}, 5, 3},
                        {2, 700, {1, 1, 699, 1}, 1, 13},          {64, 64, {7, 9, 31, 33}, 31, 8}};
  const std::int64_t all = hwy::SupportedTargets();
  for (const Case& c : cases) {
    const Image image = Noise(c.width, c.height);
    hwy::SetSupportedTargetsForTest(HWY_SCALAR);
    const auto wanted = Resized(image, c.box, c.out_width, c.out_height);
    for (std::int64_t left = all; left != 0; left &= left - 1) {
      const std::int64_t target = left & -left;
      hwy::SetSupportedTargetsForTest(target);
      EXPECT_EQ(Resized(image, c.box, c.out_width, c.out_height), wanted)
          << hwy::TargetName(target) << ", " << c.width << " x " << c.height;
    }
    hwy::SetSupportedTargetsForTest(0);
  }
}

TEST(Resize, RefusesABoxThatIsNotInside) {
  const Image image = Noise(10, 10);
  for (const CropBox& box : {CropBox{0, 0, 11, 10}, CropBox{0, 1, 10, 10}, CropBox{-1, 0, 5, 5},
                             CropBox{0, 0, 0, 5}, CropBox{2147483647, 0, 1, 1}}) {
    EXPECT_THROW(Resized(image, box, 4, 4), std::invalid_argument);
  }
}

TEST(Resize, RefusesAnOutputOfAnotherSize) {
  const Image image = Noise(10, 10);
  std::vector<std::uint8_t> out(3 * 4 * 4 - 1);
  EXPECT_THROW(ResizeBicubic(image, {0, 0, 10, 10}, 4, 4, out), std::invalid_argument);
  EXPECT_THROW(ResizeCenterCrop(image, 4, out), std::invalid_argument);
  EXPECT_THROW(ResizeCenterCrop(Image{}, 4, out), std::invalid_argument);
}

}  // namespace
}  // namespace fastclip
