#include "pipeline/pixels/image.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <variant>
#include <vector>

#include "pipeline/base/counter_random.h"
#include "pipeline/pixels/encode.h"
#include "tests/support/jpeg_maker.h"
#include "tests/support/safetensors_reader.h"

namespace fastclip {
namespace {

using Bytes = std::vector<std::byte>;

Image Waves(int width, int height) {
  Image image{width, height, std::vector<std::uint8_t>(std::size_t{3} * width * height)};
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      std::uint8_t* pixel = &image.pixels[3 * (std::size_t{1} * y * width + x)];
      pixel[0] = static_cast<std::uint8_t>(7 * x);
      pixel[1] = static_cast<std::uint8_t>(5 * y);
      pixel[2] = static_cast<std::uint8_t>(3 * (x ^ y));
    }
  }
  return image;
}

void PutBigEndian32(Bytes& bytes, std::size_t at, std::uint32_t value) {
  for (int i = 0; i < 4; ++i) bytes[at + i] = std::byte(value >> (24 - 8 * i));
}

/// The file of a golden case of tests/golden.
class GoldenFiles {
 public:
  Bytes operator[](const std::string& name) const {
    const auto bytes = std::as_bytes(reader_.at(name + "/file").bytes);
    return Bytes(bytes.begin(), bytes.end());
  }
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& [name, tensor] : reader_.tensors()) {
      if (name.ends_with("/file")) names.push_back(name.substr(0, name.size() - 5));
    }
    return names;
  }

 private:
  SafetensorsReader reader_{"tests/golden/pixels.safetensors"};
};

/// Reads all that there is, with a cap.
DecodeOptions Everything(std::int64_t max_pixels = DecodeOptions().max_pixels) {
  DecodeOptions options{.max_pixels = max_pixels, .exif_rotate = true};
  options.formats.Add(PictureFormat::kGif);
  options.formats.Add(PictureFormat::kBmp);
  return options;
}

/// A skip's name, or "WIDTHxHEIGHT".
std::string Outcome(const std::variant<Image, Skip>& decoded) {
  if (const Skip* skip = std::get_if<Skip>(&decoded)) return SkipName(*skip);
  const Image& image = std::get<Image>(decoded);
  EXPECT_EQ(image.pixels.size(), std::size_t{3} * image.width * image.height);
  return std::to_string(image.width) + "x" + std::to_string(image.height);
}

std::string SizeOutcome(std::span<const std::byte> bytes, const DecodeOptions& options = {}) {
  const auto size = ReadImageSize(bytes, options);
  if (const Skip* skip = std::get_if<Skip>(&size)) return SkipName(*skip);
  return std::to_string(std::get<ImageSize>(size).width) + "x" +
         std::to_string(std::get<ImageSize>(size).height);
}

TEST(Image, SizeInTheHeaderIsTheDecodedOne) {
  const GoldenFiles golden;
  for (const std::string& name : golden.names()) {
    EXPECT_EQ(SizeOutcome(golden[name], Everything()),
              Outcome(DecodeImage(golden[name], Everything())))
        << name;
  }
}

TEST(Image, OfAnotherKindIsUndecodable) {
  for (const std::string text : {"GIF89a and so on and on", "BM and a bitmap's header",
                                 "<svg/>......", "RIFF1234WAVEfmt ...."}) {
    EXPECT_EQ(Outcome(DecodeImage(std::as_bytes(std::span(text)))), "undecodable") << text;
    EXPECT_EQ(SizeOutcome(std::as_bytes(std::span(text))), "undecodable") << text;
  }
}

TEST(Image, WithoutBytesIsTruncated) {
  EXPECT_EQ(Outcome(DecodeImage({})), "truncated");
  EXPECT_EQ(SizeOutcome({}), "truncated");
}

TEST(Image, CutAnywhereIsTruncatedOrWhole) {
  const GoldenFiles golden;
  for (const std::string& name : golden.names()) {
    const Bytes file = golden[name];
    const std::string whole = Outcome(DecodeImage(file, Everything()));
    for (std::size_t size = 0; size < file.size(); ++size) {
      // A copy of its own, so that a read past the end is seen.
      const Bytes cut(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(size));
      const std::string outcome = Outcome(DecodeImage(cut, Everything()));
      EXPECT_TRUE(outcome == "truncated" || outcome == whole)
          << name << " cut to " << size << ": " << outcome;
      EXPECT_TRUE(outcome == "truncated" || size >= file.size() / 2) << name << " cut to " << size;
      Outcome(DecodeImageOver(cut, {255, 255, 255}, Everything()));
    }
  }
}

TEST(Image, AJpegWithoutItsEndMarkerIsTruncated) {
  Bytes file = EncodeJpeg(Waves(40, 30), 90);
  EXPECT_EQ(Outcome(DecodeImage(file)), "40x30");
  file.resize(file.size() - 2);
  EXPECT_EQ(Outcome(DecodeImage(file)), "truncated");
}

TEST(Image, DamagedAnywhereNeverCrashes) {
  const GoldenFiles golden;
  CounterRandom random(2024);
  const DecodeOptions options = Everything(100'000);  // a damaged size must not cost seconds
  int decoded = 0;
  for (const std::string& name : golden.names()) {
    for (int round = 0; round < 300; ++round) {
      Bytes file = golden[name];
      for (std::uint64_t damage = 0; damage <= random.Below(4); ++damage) {
        file[random.Below(file.size())] = std::byte(random.Below(256));
      }
      decoded += std::holds_alternative<Image>(DecodeImage(file, options));
      Outcome(DecodeImageOver(file, {1, 2, 3}, options));
      SizeOutcome(file, options);
    }
  }
  EXPECT_GT(decoded, 0);
}

TEST(Image, GarbageBehindASignatureNeverCrashes) {
  const GoldenFiles golden;
  CounterRandom random(7);
  for (const std::string name :
       {"jpeg_420", "png_rgb8", "webp_lossy", "webp_animation", "gif", "bmp_8", "bmp_runs_8"}) {
    for (int round = 0; round < 300; ++round) {
      Bytes file = golden[name];
      for (std::size_t at = 12 + random.Below(60); at < file.size(); ++at) {
        file[at] = std::byte(random.Next() & 0xff);
      }
      Outcome(DecodeImage(file, Everything(100'000)));
    }
  }
}

TEST(Image, OverThePixelCapIsTooLargeBeforeAnyIsDecoded) {
  const GoldenFiles golden;
  for (const std::string& name : golden.names()) {
    const auto size = ReadImageSize(golden[name], Everything());
    const std::int64_t pixels =
        std::int64_t{std::get<ImageSize>(size).width} * std::get<ImageSize>(size).height;
    EXPECT_EQ(Outcome(DecodeImage(golden[name], Everything(pixels - 1))), "too_large") << name;
    EXPECT_EQ(SizeOutcome(golden[name], Everything(pixels - 1)), "too_large") << name;
    EXPECT_NE(Outcome(DecodeImage(golden[name], Everything(pixels))), "too_large") << name;
  }
}

TEST(Image, HugeClaimedSizesAreRefusedWithoutMemory) {
  Bytes png = EncodePng(Waves(4, 4));
  PutBigEndian32(png, 16, 0x7fffffff);
  PutBigEndian32(png, 20, 0x7fffffff);
  EXPECT_EQ(Outcome(DecodeImage(png)), "too_large");
  PutBigEndian32(png, 16, 0xffffffff);
  EXPECT_EQ(Outcome(DecodeImage(png)), "undecodable");
  PutBigEndian32(png, 16, 0);
  EXPECT_EQ(Outcome(DecodeImage(png)), "undecodable");

  Bytes jpeg = EncodeJpeg(Waves(4, 4), 90);
  std::size_t frame = 0;  // start of frame: FF C0, length, depth, height, width
  while (jpeg[frame] != std::byte{0xff} || jpeg[frame + 1] != std::byte{0xc0}) ++frame;
  PutBigEndian32(jpeg, frame + 5, 0xffdcffdc);
  EXPECT_EQ(Outcome(DecodeImage(jpeg)), "too_large");

  Bytes webp = GoldenFiles()["webp_animation"];
  const std::size_t canvas = 24;  // width - 1 and height - 1, three bytes each, the low one first
  for (std::size_t at = canvas; at < canvas + 6; ++at) {
    webp[at] = std::byte((at - canvas) % 3 < 2 ? 0xff : 0);
  }
  EXPECT_EQ(Outcome(DecodeImage(webp)), "undecodable");  // 2^32 pixels are no WebP
  webp[canvas + 1] = std::byte{0x3f};
  EXPECT_EQ(Outcome(DecodeImage(webp)), "too_large");
}

TEST(Image, AJpegOfTooManyScansIsTooLarge) {
  const std::vector<std::uint8_t> pixels(std::size_t{3} * 32 * 32, 77);
  EXPECT_EQ(Outcome(DecodeImage(MakeJpeg(pixels, 32, 32, OfManyScans()))), "too_large");
}

TEST(Image, APngWithALongTextIsReadWithoutKeepingIt) {
  const Image image = Waves(5, 4);
  const Bytes png = EncodePng(image);
  // A chunk whose name says that it may be ignored; its check sum must fit, as in Pillow.
  Bytes chunk(12 + 9'000'000, std::byte{'x'});
  PutBigEndian32(chunk, 0, 9'000'000);
  std::memcpy(&chunk[4], "prVt", 4);
  std::uint32_t crc = 0xffffffff;
  for (std::size_t i = 4; i < chunk.size() - 4; ++i) {
    crc ^= std::to_integer<std::uint32_t>(chunk[i]);
    for (int bit = 0; bit < 8; ++bit) crc = crc & 1 ? 0xedb88320 ^ (crc >> 1) : crc >> 1;
  }
  PutBigEndian32(chunk, chunk.size() - 4, ~crc);
  Bytes with_text = png;
  with_text.insert(with_text.begin() + 33, chunk.begin(), chunk.end());  // behind the header
  const auto decoded = DecodeImage(with_text);
  ASSERT_EQ(Outcome(decoded), "5x4");
  EXPECT_EQ(std::get<Image>(decoded).pixels, image.pixels);
}

TEST(Image, WithoutTransparencyIsTheSameOverAnyBackground) {
  const Bytes file = EncodePng(Waves(9, 8));
  EXPECT_EQ(std::get<Image>(DecodeImageOver(file, {9, 9, 9})).pixels, Waves(9, 8).pixels);
}

}  // namespace
}  // namespace fastclip
