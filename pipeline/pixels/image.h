#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <variant>
#include <vector>

#include "pipeline/pixels/augment.h"
#include "pipeline/records/picture_format.h"
#include "pipeline/records/record.h"

namespace fastclip {

/// 8-bit RGB, rows top to bottom without padding: [height, width, 3].
struct Image {
  int width = 0;
  int height = 0;
  std::vector<std::uint8_t> pixels;
};

struct DecodeOptions {
  /// Pictures with more pixels are Skip::kTooLarge, told from the header, before any is decoded.
  std::int64_t max_pixels = 25'000'000;
  /// Pictures of other formats are Skip::kUndecodable.
  PictureFormats formats = kUsualFormats;
  /// Pictures are turned as their EXIF block says (JPEG, PNG, WebP), like Pillow's
  /// ImageOps.exif_transpose; a block that makes no sense counts as none. Sizes and boxes are those
  /// of the turned picture. False, as OpenCLIP: the block is not read.
  bool exif_rotate = false;
  /// Not 0: DecodePart may decode a JPEG at 1/2, 1/4 or 1/8 of its size where the box keeps so many
  /// pixels or more on both sides. Faster, but its bytes are not DecodeImage's: see decode.md.
  int fast_side = 0;
};

struct ImageSize {
  int width = 0;
  int height = 0;
};

/// A part of a picture, and where in it lies the box that was wanted.
struct PicturePart {
  Image image;
  CropBox box;
};

/// The box that is wanted of a picture of some size.
using ChooseBox = std::function<CropBox(const ImageSize&)>;

/// Red, green, blue.
using Rgb = std::array<std::uint8_t, 3>;

/// The size that a picture's header claims; Skip::kTooLarge over the cap, kTruncated where the
/// header ends early, kUndecodable for what is none of the formats asked for.
std::variant<ImageSize, Skip> ReadImageSize(std::span<const std::byte> bytes,
                                            const DecodeOptions& options = {});

/// What decoding takes at most, besides the file: pixels, and what the decoder keeps of the whole
/// picture (coefficients of progressive JPEGs, a WebP's canvas). 0 where ReadImageSize gives a
/// skip.
std::int64_t DecodeMemory(std::span<const std::byte> bytes, const DecodeOptions& options = {});

/// A picture as Pillow 10 to 12 gives it after convert("RGB"), to the byte: alpha is dropped, not
/// blended; of an animation the first frame. The format is told from the first bytes, never from a
/// name. Colour profiles, gamma and, by default, EXIF rotation are ignored, as OpenCLIP does.
/// decode.md tells what becomes of every kind of picture.
///
/// Damage that Pillow tolerates (a wrong CRC or flipped bit in the picture's data, a PNG without
/// its end chunk) is tolerated; data that end before the last pixel are Skip::kTruncated, and so is
/// a JPEG without its end marker. Stricter than Pillow: a PNG that needs a palette and has none,
/// and one whose compressed data stop early, are skips, not black pixels.
/// Throws std::bad_alloc where memory is short: that is no property of the bytes.
std::variant<Image, Skip> DecodeImage(std::span<const std::byte> bytes,
                                      const DecodeOptions& options = {});

/// DecodeImage for who needs only the pixels of a box, which `choose` tells once the size is known:
/// `part` gets a part of the picture that holds them, the same bytes, and its memory is used again.
/// For JPEGs that saves the work of the rest. What is a skip with one box is the same skip with
/// any. With DecodeOptions::fast_side the part may be smaller than what it shows, and its box, in
/// its own pixels, the nearest whole ones. Throws as DecodeImage, and std::invalid_argument for a
/// box that is not inside of the picture.
std::optional<Skip> DecodePart(std::span<const std::byte> bytes, const ChooseBox& choose,
                               const DecodeOptions& options, PicturePart& part);

/// As DecodeImage, but what is transparent is laid over `background`, rounded as Pillow's
/// Image.paste with the alpha channel as mask. Pictures without transparency are DecodeImage's.
std::variant<Image, Skip> DecodeImageOver(std::span<const std::byte> bytes, const Rgb& background,
                                          const DecodeOptions& options = {});

}  // namespace fastclip
