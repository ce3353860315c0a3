#include "pipeline/pixels/encode.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <variant>
#include <vector>

namespace fastclip {
namespace {

Image Slopes(int width, int height) {
  Image image{width, height, {}};
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      image.pixels.push_back(static_cast<std::uint8_t>(255 * x / width));
      image.pixels.push_back(static_cast<std::uint8_t>(255 * y / height));
      image.pixels.push_back(static_cast<std::uint8_t>(128));
    }
  }
  return image;
}

TEST(EncodePng, ComesBackToTheByte) {
  for (const auto& [width, height] : {std::pair{1, 1}, {37, 23}, {640, 3}}) {
    const auto decoded = DecodeImage(EncodePng(Slopes(width, height)));
    ASSERT_TRUE(std::holds_alternative<Image>(decoded));
    EXPECT_EQ(std::get<Image>(decoded).width, width);
    EXPECT_EQ(std::get<Image>(decoded).height, height);
    EXPECT_EQ(std::get<Image>(decoded).pixels, Slopes(width, height).pixels);
  }
}

TEST(EncodeJpeg, ComesBackNearly) {
  const Image image = Slopes(61, 47);
  const auto decoded = DecodeImage(EncodeJpeg(image, 95));
  ASSERT_TRUE(std::holds_alternative<Image>(decoded));
  const Image& back = std::get<Image>(decoded);
  ASSERT_EQ(back.pixels.size(), image.pixels.size());
  double sum = 0;
  for (std::size_t i = 0; i < image.pixels.size(); ++i) {
    sum += std::abs(int{back.pixels[i]} - int{image.pixels[i]});
  }
  EXPECT_LT(sum / static_cast<double>(image.pixels.size()), 2);
}

TEST(EncodeJpeg, GivesTheSameBytesAndFewerAtLowerQuality) {
  const Image image = Slopes(61, 47);
  EXPECT_EQ(EncodeJpeg(image, 90), EncodeJpeg(image, 90));
  EXPECT_LT(EncodeJpeg(image, 30).size(), EncodeJpeg(image, 90).size());
}

TEST(Encode, RefusesWhatIsNoPicture) {
  EXPECT_THROW(EncodePng(Image{}), std::invalid_argument);
  EXPECT_THROW(EncodeJpeg(Image{}, 90), std::invalid_argument);
  EXPECT_THROW(EncodeJpeg(Image{70'000, 1, std::vector<std::uint8_t>(210'000)}, 90),
               std::invalid_argument);
  EXPECT_THROW(EncodePng(Image{4, 4, std::vector<std::uint8_t>(5)}), std::invalid_argument);
}

TEST(Encode, TellsWhatItCanWrite) {
  EXPECT_TRUE(FitsJpeg({65'500, 100}));
  EXPECT_FALSE(FitsJpeg({65'501, 100}));
  EXPECT_TRUE(FitsPng({1, 1'000'000}));
  EXPECT_FALSE(FitsPng({1, 25'000'000}));
  EXPECT_FALSE(FitsPng({30'000, 30'000})) << "over 2 GiB";
  EXPECT_FALSE(FitsPng({0, 4}));
}

}  // namespace
}  // namespace fastclip
