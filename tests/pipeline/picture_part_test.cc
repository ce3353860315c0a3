#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <variant>
#include <vector>

#include "pipeline/pixels/image.h"
#include "tests/support/exif_maker.h"
#include "tests/support/jpeg_maker.h"

namespace fastclip {
namespace {

using Bytes = std::vector<std::byte>;
using Random = std::mt19937;

int Below(Random& random, int count) {
  return static_cast<int>(random() % static_cast<unsigned>(count));
}

JpegKind AnyKind(Random& random) {
  const J_COLOR_SPACE spaces[] = {JCS_YCbCr, JCS_YCbCr, JCS_YCbCr, JCS_GRAYSCALE,
                                  JCS_RGB,   JCS_CMYK,  JCS_YCCK};
  const std::pair<int, int> samplings[] = {{1, 1}, {2, 1}, {2, 2}, {1, 2}, {4, 1}, {4, 2}};
  JpegKind kind;
  kind.space = spaces[Below(random, 7)];
  std::tie(kind.h_samp, kind.v_samp) = samplings[Below(random, 6)];
  if (ChannelsOf(kind.space) == 4 && kind.h_samp == 4) kind.h_samp = 2;  // blocks of an MCU: 10
  kind.progressive = Below(random, 3) == 0;
  kind.arithmetic = Below(random, 5) == 0;
  kind.restart_interval = Below(random, 3) == 0 ? 1 + Below(random, 20) : 0;
  kind.quality = 30 + Below(random, 70);
  if (kind.progressive && Below(random, 3) == 0) kind.scans = 1 + Below(random, 5);
  return kind;
}

/// Waves with noise: neighbouring pixels differ everywhere.
std::vector<std::uint8_t> AnyPixels(Random& random, int width, int height, int channels) {
  std::vector<std::uint8_t> pixels;
  const double fx = 0.02 + 0.001 * Below(random, 400);
  const double fy = 0.02 + 0.001 * Below(random, 400);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < channels; ++c) {
        const double wave = 127 + 90 * std::sin(fx * x + c) * std::cos(fy * y - c);
        pixels.push_back(static_cast<std::uint8_t>(wave + Below(random, 38)));
      }
    }
  }
  return pixels;
}

CropBox AnyBox(Random& random, int width, int height) {
  CropBox box;
  box.width = 1 + Below(random, width);
  box.height = 1 + Below(random, height);
  box.left = Below(random, width - box.width + 1);
  box.top = Below(random, height - box.height + 1);
  return box;
}

std::optional<Skip> Decode(const Bytes& bytes, const CropBox& box, PicturePart& part,
                           const DecodeOptions& options = {}) {
  return DecodePart(
      bytes, [&](const ImageSize&) { return box; }, options, part);
}

/// Whether `part` holds the box of `whole`, byte for byte.
bool Holds(const PicturePart& part, const Image& whole, const CropBox& box) {
  const auto [top, left, height, width] = part.box;
  if (left < 0 || top < 0 || height != box.height || width != box.width ||
      left + width > part.image.width || top + height > part.image.height) {
    return false;
  }
  for (int y = 0; y < box.height; ++y) {
    const auto* made = &part.image.pixels[3 * (std::size_t(top + y) * part.image.width + left)];
    const auto* wanted = &whole.pixels[3 * (std::size_t(box.top + y) * whole.width + box.left)];
    if (!std::equal(made, made + 3 * box.width, wanted)) return false;
  }
  return true;
}

struct AnyJpeg {
  int width, height;
  JpegKind kind;
  Bytes bytes;
};

AnyJpeg MakeAny(Random& random) {
  AnyJpeg any;
  any.width = 1 + Below(random, 150);
  any.height = 1 + Below(random, 150);
  any.kind = AnyKind(random);
  any.bytes = MakeJpeg(AnyPixels(random, any.width, any.height, ChannelsOf(any.kind.space)),
                       any.width, any.height, any.kind);
  return any;
}

std::string Describe(const AnyJpeg& any, const CropBox& box) {
  const JpegKind& kind = any.kind;
  return std::to_string(any.width) + "x" + std::to_string(any.height) + " space " +
         std::to_string(kind.space) + " sampling " + std::to_string(kind.h_samp) +
         std::to_string(kind.v_samp) + (kind.progressive ? " progressive" : "") +
         (kind.arithmetic ? " arithmetic" : "") + " restart " +
         std::to_string(kind.restart_interval) + " scans " + std::to_string(kind.scans) + " box " +
         std::to_string(box.width) + "x" + std::to_string(box.height) + " at " +
         std::to_string(box.left) + "," + std::to_string(box.top);
}

TEST(PicturePart, OfAnyJpegIsThePixelsOfTheWhole) {
  Random random(1);
  PicturePart part;
  std::int64_t smaller = 0;
  for (int picture = 0; picture < 1'000; ++picture) {
    const AnyJpeg any = MakeAny(random);
    const auto decoded = DecodeImage(any.bytes);
    ASSERT_TRUE(std::holds_alternative<Image>(decoded)) << Describe(any, {});
    const Image& whole = std::get<Image>(decoded);
    for (int i = 0; i < 10; ++i) {
      const CropBox box = AnyBox(random, any.width, any.height);
      ASSERT_EQ(Decode(any.bytes, box, part), std::nullopt) << Describe(any, box);
      ASSERT_TRUE(Holds(part, whole, box)) << Describe(any, box);
      smaller += part.image.pixels.size() < whole.pixels.size() ? 1 : 0;
    }
  }
  EXPECT_GT(smaller, 7'000);  // the rest is needed whole
}

// What is a skip must not depend on the box: who knows a bad record never meets its pixels.
TEST(PicturePart, OfADamagedJpegIsASkipForEveryBoxOrForNone) {
  Random random(2);
  PicturePart part;
  int skipped = 0;
  for (int picture = 0; picture < 1'000; ++picture) {
    AnyJpeg any = MakeAny(random);
    if (Below(random, 2) == 0) {
      any.bytes.resize(any.bytes.size() - 1 -
                       Below(random, static_cast<int>(any.bytes.size() / 2)));
    } else {
      for (int i = 0; i < 3; ++i) {
        const int at = 2 + Below(random, static_cast<int>(any.bytes.size()) - 2);
        any.bytes[at] ^= static_cast<std::byte>(1 + Below(random, 255));
      }
    }
    const auto decoded = DecodeImage(any.bytes);
    const Skip* skip = std::get_if<Skip>(&decoded);
    skipped += skip != nullptr ? 1 : 0;
    const auto size = ReadImageSize(any.bytes);
    if (std::holds_alternative<Skip>(size)) continue;
    const auto [width, height] = std::get<ImageSize>(size);
    for (int i = 0; i < 5; ++i) {
      const CropBox box = AnyBox(random, width, height);
      const auto cause = Decode(any.bytes, box, part);
      ASSERT_EQ(cause, skip == nullptr ? std::nullopt : std::optional(*skip)) << Describe(any, box);
      if (skip == nullptr) {
        EXPECT_TRUE(Holds(part, std::get<Image>(decoded), box)) << Describe(any, box);
      }
    }
  }
  EXPECT_GT(skipped, 300);
}

TEST(PicturePart, OfATurnedJpegIsThePixelsOfTheTurnedWhole) {
  Random random(4);
  DecodeOptions options;
  options.exif_rotate = true;
  PicturePart part;
  std::int64_t smaller = 0;
  for (int picture = 0; picture < 400; ++picture) {
    AnyJpeg any = MakeAny(random);
    any.bytes = WithExif(any.bytes, ExifOf(picture % 8 + 1));
    const auto decoded = DecodeImage(any.bytes, options);
    ASSERT_TRUE(std::holds_alternative<Image>(decoded)) << Describe(any, {});
    const Image& whole = std::get<Image>(decoded);
    const bool lies = picture % 8 >= 4;
    ASSERT_EQ(whole.width, lies ? any.height : any.width);
    for (int i = 0; i < 5; ++i) {
      const CropBox box = AnyBox(random, whole.width, whole.height);
      ASSERT_EQ(Decode(any.bytes, box, part, options), std::nullopt) << Describe(any, box);
      ASSERT_TRUE(Holds(part, whole, box)) << Describe(any, box) << " turned " << picture % 8 + 1;
      smaller += part.image.pixels.size() < whole.pixels.size() ? 1 : 0;
    }
  }
  EXPECT_GT(smaller, 1'000);
}

/// A JPEG of one or three channels as libjpeg gives it at 1/shrink of its size.
Image ShrunkWhole(const Bytes& bytes, int shrink) {
  jpeg_decompress_struct cinfo;
  jpeg_error_mgr errors;
  cinfo.err = jpeg_std_error(&errors);
  jpeg_create_decompress(&cinfo);
  jpeg_mem_src(&cinfo, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  jpeg_read_header(&cinfo, TRUE);
  cinfo.out_color_space = JCS_RGB;
  cinfo.scale_denom = static_cast<unsigned>(shrink);
  jpeg_start_decompress(&cinfo);
  Image image{static_cast<int>(cinfo.output_width), static_cast<int>(cinfo.output_height), {}};
  const std::size_t stride = std::size_t{3} * cinfo.output_width;
  image.pixels.resize(stride * cinfo.output_height);
  while (cinfo.output_scanline < cinfo.output_height) {
    JSAMPROW row = image.pixels.data() + cinfo.output_scanline * stride;
    jpeg_read_scanlines(&cinfo, &row, 1);
  }
  jpeg_finish_decompress(&cinfo);
  jpeg_destroy_decompress(&cinfo);
  return image;
}

TEST(PicturePart, MadeFastIsThePixelsOfTheWholeMadeSmaller) {
  Random random(5);
  PicturePart part;
  int counts[9] = {};
  for (int picture = 0; picture < 2'000; ++picture) {
    AnyJpeg any = MakeAny(random);
    if (ChannelsOf(any.kind.space) == 4) continue;
    const CropBox box = AnyBox(random, any.width, any.height);
    DecodeOptions options;
    options.fast_side = 1 + Below(random, 20);
    int shrink = 1;
    for (const int more : {2, 4, 8}) {
      if (std::min(box.width, box.height) >= more * options.fast_side) shrink = more;
    }
    const Image whole = ShrunkWhole(any.bytes, shrink);
    const auto nearest = [&](int at) { return (at + shrink / 2) / shrink; };
    CropBox shrunk{std::min(nearest(box.top), whole.height - 1),
                   std::min(nearest(box.left), whole.width - 1), 0, 0};
    shrunk.height = std::min(nearest(box.top + box.height), whole.height) - shrunk.top;
    shrunk.width = std::min(nearest(box.left + box.width), whole.width) - shrunk.left;
    ASSERT_EQ(Decode(any.bytes, box, part, options), std::nullopt) << Describe(any, box);
    ASSERT_TRUE(Holds(part, whole, shrunk)) << Describe(any, box) << " by " << shrink;
    ++counts[shrink];
  }
  for (const int shrink : {1, 2, 4, 8}) EXPECT_GT(counts[shrink], 50) << shrink;
}

TEST(PicturePart, OfABoxOutsideIsRefused) {
  Random random(3);
  const AnyJpeg any = MakeAny(random);
  PicturePart part;
  for (const CropBox& box : {CropBox{0, 0, any.height + 1, 1}, CropBox{0, 1, 1, any.width},
                             CropBox{-1, 0, 1, 1}, CropBox{0, 0, 0, 1}}) {
    EXPECT_THROW(Decode(any.bytes, box, part), std::invalid_argument);
  }
}

}  // namespace
}  // namespace fastclip
