// decode.md's table, row by row: pictures whose pixels are known without a decoder.

#include <gtest/gtest.h>
#include <webp/encode.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <initializer_list>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "pipeline/pixels/encode.h"
#include "pipeline/pixels/image.h"
#include "tests/support/exif_maker.h"
#include "tests/support/jpeg_maker.h"
#include "tests/support/png_maker.h"

namespace fastclip {
namespace {

using Bytes = std::vector<std::byte>;
using Samples = std::vector<std::uint8_t>;

constexpr Rgb kRed{200, 30, 40}, kBlue{20, 60, 180}, kBlack{0, 0, 0}, kWhite{255, 255, 255};

struct Case {
  std::string row;  ///< of the table, its first column
  Bytes file;
  std::variant<Image, Skip> wanted;
  DecodeOptions options{};
  int tolerance = 0;  ///< of a byte, where the file itself is lossy
};

Bytes ToBytes(std::initializer_list<int> values) {
  Bytes bytes;
  for (const int value : values) bytes.push_back(static_cast<std::byte>(value));
  return bytes;
}

Image Of(int width, int height, const std::vector<Rgb>& pixels) {
  Image image{width, height, {}};
  for (const Rgb& pixel : pixels) {
    image.pixels.insert(image.pixels.end(), pixel.begin(), pixel.end());
  }
  return image;
}

/// One colour on the left, another on the right; 32 × 16, whole blocks of a JPEG.
Image Halves(const Rgb& left, const Rgb& right) {
  std::vector<Rgb> pixels;
  for (int i = 0; i < 32 * 16; ++i) pixels.push_back(i % 32 < 16 ? left : right);
  return Of(32, 16, pixels);
}

/// Halves(above, below), standing: 16 × 32.
Image Stacked(const Rgb& above, const Rgb& below) {
  std::vector<Rgb> pixels(16 * 16, above);
  pixels.resize(2 * pixels.size(), below);
  return Of(16, 32, pixels);
}

Bytes RedBlueJpeg(JpegKind kind) {
  kind.quality = 100;
  return MakeJpeg(Halves(kRed, kBlue).pixels, 32, 16, kind);
}

/// A JPEG of four channels, given as Adobe stores them: 255 is no ink.
Bytes InkJpeg(J_COLOR_SPACE space) {
  Samples samples;
  for (int i = 0; i < 32 * 16; ++i) {
    const Samples ink = i % 32 < 16 ? Samples{255, 100, 0, 255} : Samples{255, 255, 255, 128};
    samples.insert(samples.end(), ink.begin(), ink.end());
  }
  JpegKind kind;
  kind.space = space;
  kind.quality = 100;
  return MakeJpeg(samples, 32, 16, kind);
}

Bytes ToFile(std::uint8_t* made, std::size_t size) {
  const auto* bytes = reinterpret_cast<const std::byte*>(made);
  Bytes file(bytes, bytes + size);
  WebPFree(made);
  return file;
}

Bytes LossyWebp() {
  std::uint8_t* made = nullptr;
  const std::size_t size =
      WebPEncodeRGB(Halves(kRed, kRed).pixels.data(), 32, 16, 3 * 32, 100, &made);
  return ToFile(made, size);
}

Bytes LosslessWebp(const Samples& rgba, int width, int height) {
  WebPConfig config;
  WebPPicture picture;
  WebPMemoryWriter writer;
  WebPMemoryWriterInit(&writer);
  if (!WebPConfigInit(&config) || !WebPPictureInit(&picture)) std::abort();
  config.lossless = 1;
  config.exact = 1;  // keeps the colours under what is transparent
  picture.use_argb = 1;
  picture.width = width;
  picture.height = height;
  picture.writer = WebPMemoryWrite;
  picture.custom_ptr = &writer;
  const bool made =
      WebPPictureImportRGBA(&picture, rgba.data(), 4 * width) && WebPEncode(&config, &picture);
  WebPPictureFree(&picture);
  if (!made) std::abort();
  return ToFile(writer.mem, writer.size);
}

void Append(Bytes& to, const Bytes& more) { to.insert(to.end(), more.begin(), more.end()); }

Bytes Chunk(const char* name, const Bytes& data) {
  const int size = static_cast<int>(data.size());
  Bytes chunk = ToBytes({name[0], name[1], name[2], name[3], size, 0, 0, 0});
  Append(chunk, data);
  if (size % 2 == 1) chunk.push_back({});
  return chunk;
}

/// Two frames of one pixel on a canvas of 4 × 2: the first is red, at 2, 0.
Bytes AnimatedWebp() {
  Bytes frames;
  for (const Rgb& colour : {kRed, kBlue}) {
    const Bytes still = LosslessWebp({colour[0], colour[1], colour[2], 255}, 1, 1);
    Bytes frame = ToBytes({1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 100, 0, 0, 0});
    frame.insert(frame.end(), still.begin() + 12, still.end());
    Append(frames, Chunk("ANMF", frame));
  }
  Bytes body = ToBytes({'W', 'E', 'B', 'P'});
  Append(body, Chunk("VP8X", ToBytes({0x12, 0, 0, 0, 3, 0, 0, 1, 0, 0})));
  Append(body, Chunk("ANIM", ToBytes({0, 0, 0, 0, 0, 0})));
  Append(body, frames);
  return Chunk("RIFF", body);
}

/// 2 × 2 of the indices 0 1 / 2 3, whose codes are not compressed: 4 (clear) 0 1 4 2 3 5 (end).
Bytes Gif(bool with_transparency) {
  Bytes gif = ToBytes({'G', 'I', 'F', '8', '9', 'a', 2, 0, 2, 0,   0x81, 0,  0,  //
                       200, 30,  40,  20,  60,  180, 0, 0, 0, 255, 255,  255});
  if (with_transparency) Append(gif, ToBytes({'!', 0xf9, 4, 1, 0, 0, 1, 0}));
  Append(gif, ToBytes({',', 0, 0, 0, 0, 2, 0, 2, 0, 0, 2, 3, 0x44, 0xa8, 0x15, 0, ';'}));
  return gif;
}

/// 2 × 2, 24 bits, the lower row first.
Bytes Bmp() {
  return ToBytes({'B', 'M', 70, 0,   0,   0,   0, 0, 0,  0,  54,  0,   0,  0,  40, 0, 0,  0,
                  2,   0,   0,  0,   2,   0,   0, 0, 1,  0,  24,  0,   0,  0,  0,  0, 16, 0,
                  0,   0,   0,  0,   0,   0,   0, 0, 0,  0,  0,   0,   0,  0,  0,  0, 0,  0,
                  0,   0,   0,  255, 255, 255, 0, 0, 40, 30, 200, 180, 60, 20, 0,  0});
}

DecodeOptions Asking(PictureFormat format) {
  DecodeOptions options;
  options.formats.Add(format);
  return options;
}

DecodeOptions Turning() {
  DecodeOptions options;
  options.exif_rotate = true;
  return options;
}

Bytes Patched(Bytes bytes, std::size_t at, std::initializer_list<int> values) {
  for (const int value : values) bytes.at(at++) = static_cast<std::byte>(value);
  return bytes;
}

std::vector<Case> JpegCases() {
  const Image red_blue = Halves(kRed, kBlue);
  JpegKind grey, progressive, arithmetic, restarts;
  grey.space = JCS_GRAYSCALE;
  progressive.progressive = true;
  arithmetic.arithmetic = true;
  restarts.restart_interval = 1;
  const Image ink = Halves({255, 100, 0}, {128, 128, 128});
  const Bytes upright = RedBlueJpeg({});
  const Bytes turned = WithExif(upright, ExifOf(6));
  Bytes without_end = upright;
  without_end.resize(without_end.size() - 2);
  return {{"JPEG", upright, red_blue, {}, 2},
          {"JPEG, grey", MakeJpeg(Samples(64, 77), 8, 8, grey),
           Of(8, 8, std::vector<Rgb>(64, {77, 77, 77}))},
          {"JPEG, progressive", RedBlueJpeg(progressive), red_blue, {}, 2},
          {"JPEG, arithmetic", RedBlueJpeg(arithmetic), red_blue, {}, 2},
          {"JPEG, restart markers", RedBlueJpeg(restarts), red_blue, {}, 2},
          {"JPEG, CMYK", InkJpeg(JCS_CMYK), ink, {}, 2},
          {"JPEG, YCCK", InkJpeg(JCS_YCCK), ink, {}, 2},
          {"EXIF orientation", turned, red_blue, {}, 2},
          {"EXIF orientation, asked for", turned, Stacked(kRed, kBlue), Turning(), 2},
          {"EXIF, broken", WithExif(upright, ExifOf(9)), red_blue, Turning(), 2},
          {"cut by two bytes", without_end, Skip::kTruncated},
          {"too many scans", RedBlueJpeg(OfManyScans()), Skip::kTooLarge}};
}

std::vector<Case> PngCases() {
  const std::vector<png_color> colours = {{200, 30, 40}, {20, 60, 180}, {1, 2, 3}};
  const Image red_blue = Of(2, 1, {kRed, kBlue});
  const auto png = [](const Samples& row, int width, PngKind kind) {
    return MakePng(row, width, 1, kind);
  };
  const Bytes plain = png({200, 30, 40, 20, 60, 180}, 2, {});
  Bytes flipped = plain;
  flipped[flipped.size() - 13] ^= std::byte{1};  // the check sum of the pixels' chunk
  return {{"PNG, grey", png({0, 77}, 2, {PNG_COLOR_TYPE_GRAY}), Of(2, 1, {kBlack, {77, 77, 77}})},
          {"PNG, grey and alpha", png({77, 0, 255, 9}, 2, {PNG_COLOR_TYPE_GRAY_ALPHA}),
           Of(2, 1, {{77, 77, 77}, kWhite})},
          {"PNG, palette", png({0x10}, 2, {PNG_COLOR_TYPE_PALETTE, 4, colours}),
           Of(2, 1, {kBlue, kRed})},
          {"PNG, palette and transparency",
           png({0x01}, 2, {PNG_COLOR_TYPE_PALETTE, 4, colours, {0, 128}}), red_blue},
          {"PNG, RGBA", png({200, 30, 40, 0, 20, 60, 180, 255}, 2, {PNG_COLOR_TYPE_RGB_ALPHA}),
           red_blue},
          {"PNG, 1 bit", png({0x40}, 2, {PNG_COLOR_TYPE_GRAY, 1}), Of(2, 1, {kBlack, kWhite})},
          {"PNG, 16-bit grey", png({0, 77, 18, 52}, 2, {PNG_COLOR_TYPE_GRAY, 16}),
           Of(2, 1, {{77, 77, 77}, kWhite})},
          {"PNG, 16-bit colour", png({200, 255, 30, 0, 40, 128}, 1, {PNG_COLOR_TYPE_RGB, 16}),
           Of(1, 1, {kRed})},
          {"damaged but complete", flipped, red_blue},
          {"too many pixels", Patched(plain, 16, {0, 1, 0, 0, 0, 1, 0, 0}), Skip::kTooLarge},
          {"no pixels", Patched(plain, 16, {0, 0, 0, 0}), Skip::kUndecodable},
          {"no picture", ToBytes({'<', 's', 'v', 'g', '>', '.', '.', '.', '.', '.', '.', '.'}),
           Skip::kUndecodable}};
}

std::vector<Case> OtherCases() {
  const Image four = Of(2, 2, {kRed, kBlue, kBlack, kWhite});
  const Image at_two = Of(4, 2, {kBlack, kBlack, kRed, kBlack, kBlack, kBlack, kBlack, kBlack});
  return {{"WebP, lossy", LossyWebp(), Halves(kRed, kRed), {}, 3},
          {"WebP, lossless", LosslessWebp({200, 30, 40, 255, 20, 60, 180, 255}, 2, 1),
           Of(2, 1, {kRed, kBlue})},
          {"WebP, alpha", LosslessWebp({200, 30, 40, 0, 20, 60, 180, 9}, 2, 1),
           Of(2, 1, {kRed, kBlue})},
          {"WebP, animation", AnimatedWebp(), at_two},
          {"GIF", Gif(true), Skip::kUndecodable},
          {"GIF, asked for", Gif(true), four, Asking(PictureFormat::kGif)},
          {"BMP", Bmp(), Skip::kUndecodable},
          {"BMP, asked for", Bmp(), four, Asking(PictureFormat::kBmp)}};
}

std::vector<Case> Cases() {
  std::vector<Case> cases = JpegCases();
  for (auto make : {PngCases, OtherCases}) {
    for (Case& entry : make()) cases.push_back(std::move(entry));
  }
  return cases;
}

std::string Outcome(const std::variant<Image, Skip>& decoded) {
  if (const Skip* skip = std::get_if<Skip>(&decoded)) return SkipName(*skip);
  const Image& image = std::get<Image>(decoded);
  return std::to_string(image.width) + "x" + std::to_string(image.height);
}

TEST(DecodePolicy, HoldsInEveryRow) {
  for (const Case& entry : Cases()) {
    SCOPED_TRACE(entry.row);
    const auto decoded = DecodeImage(entry.file, entry.options);
    ASSERT_EQ(Outcome(decoded), Outcome(entry.wanted));
    const Image* wanted = std::get_if<Image>(&entry.wanted);
    if (wanted == nullptr) continue;
    const Samples& made = std::get<Image>(decoded).pixels;
    int furthest = 0;
    for (std::size_t i = 0; i < made.size(); ++i) {
      furthest = std::max(furthest, std::abs(made[i] - wanted->pixels[i]));
    }
    EXPECT_LE(furthest, entry.tolerance);
  }
}

TEST(DecodePolicy, HasATestForEveryRow) {
  std::set<std::string> tested, written;
  for (const Case& entry : Cases()) tested.insert(entry.row);
  tested.insert("pixels = \"fast\"");  // picture_part_test.cc, by what libjpeg gives
  std::ifstream table("pipeline/pixels/decode.md");
  for (std::string line; std::getline(table, line);) {
    if (line.starts_with("## ")) break;  // other tables
    if (!line.starts_with("| ") || line.starts_with("| Picture ")) continue;
    written.insert(line.substr(2, line.find(" |") - 2));
  }
  EXPECT_EQ(written, tested);
}

}  // namespace
}  // namespace fastclip
