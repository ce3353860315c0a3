#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <vector>

#include "pipeline/pixels/encode.h"
#include "tests/pipeline/loader_fixture.h"

namespace fastclip {
namespace {

using Samples = std::vector<std::uint8_t>;

/// Pictures of gentle waves, eight times as large as they are asked for.
FakeSource LargeJpegs(std::int64_t size) {
  FakeSource source(size);
  source.image_of = [](std::int64_t number) {
    Image image{8 * kSide + 5, 8 * kSide, {}};
    for (int y = 0; y < image.height; ++y) {
      for (int x = 0; x < image.width; ++x) {
        for (int c = 0; c < 3; ++c) {
          const double wave = std::sin(0.1 * x + c + static_cast<double>(number));
          image.pixels.push_back(
              static_cast<std::uint8_t>(128 + 60 * wave + 40 * std::cos(0.08 * y)));
        }
      }
    }
    return EncodeJpeg(image, 95);
  };
  return source;
}

LoaderOptions With(bool fast) {
  LoaderOptions options = Options();
  options.fast_pixels = fast;
  return options;
}

Samples PixelsOf(BatchLoader&& loader) {
  Samples pixels;
  while (const auto batch = loader.Next()) {
    pixels.insert(pixels.end(), batch->pixels().begin(), batch->pixels().end());
  }
  return pixels;
}

TEST(FastPixels, AreNearThoseOfTrainingAndDiffer) {
  const FakeSource source = LargeJpegs(64);
  const OrderPlan plan({.size = 64, .batch_size = 16, .seed = 1});
  const ByteTokenizer tokenizer;
  const auto train = [&](bool fast) {
    return PixelsOf(
        BatchLoader(source, plan, {0, plan.options().lanes}, 0, 2, tokenizer, With(fast)));
  };
  const Samples exact = train(false), fast = train(true);
  ASSERT_EQ(exact.size(), fast.size());
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < exact.size(); ++i) sum += std::abs(exact[i] - fast[i]);
  const double mean = static_cast<double>(sum) / static_cast<double>(exact.size());
  EXPECT_GT(mean, 0);
  EXPECT_LT(mean, 6);  // half a pixel of a crop at 1/4 of its size
}

TEST(FastPixels, LeaveEvaluationExact) {
  const FakeSource source = LargeJpegs(8);
  const ByteTokenizer tokenizer;
  const auto evaluate = [&](bool fast) {
    return PixelsOf(BatchLoader(source, SampleIndex{0}, SampleIndex{8}, 4, tokenizer, With(fast)));
  };
  EXPECT_EQ(evaluate(true), evaluate(false));
}

}  // namespace
}  // namespace fastclip
