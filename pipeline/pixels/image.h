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
  /// Images with more pixels are Skip::kTooLarge; checked in the header, before decoding.
  std::int64_t max_pixels = 25'000'000;
  /// Images of other formats are Skip::kUndecodable.
  PictureFormats formats = kUsualFormats;
  /// Rotates images by their EXIF block (JPEG, PNG, WebP), like Pillow's ImageOps.exif_transpose;
  /// an invalid block is ignored. Sizes and boxes are those of the rotated image. False, like
  /// OpenCLIP: the block is not read.
  bool exif_rotate = false;
  /// If not 0, DecodePart can decode a JPEG at 1/2, 1/4 or 1/8 of its size if the box keeps at
  /// least this many pixels on both sides. Faster, but not bit-identical to DecodeImage: see
  /// decode.md.
  int fast_side = 0;
};

struct ImageSize {
  int width = 0;
  int height = 0;
};

/// A part of an image, and the position of the requested box in it.
struct PicturePart {
  Image image;
  CropBox box;
};

/// Chooses the requested box for an image size.
using ChooseBox = std::function<CropBox(const ImageSize&)>;

/// Red, green, blue.
using Rgb = std::array<std::uint8_t, 3>;

/// The size in an image's header; Skip::kTooLarge over the cap, kTruncated for a truncated header,
/// kUndecodable for other formats.
std::variant<ImageSize, Skip> ReadImageSize(std::span<const std::byte> bytes,
                                            const DecodeOptions& options = {});

/// Maximum bytes that decoding needs besides the file: pixels, and decoder state for the whole
/// image (coefficients of progressive JPEGs, a WebP's canvas). 0 if ReadImageSize returns a skip.
std::int64_t DecodeMemory(std::span<const std::byte> bytes, const DecodeOptions& options = {});

/// Decodes an image bit-identical to Pillow 10 to 12 with convert("RGB"): alpha is dropped, not
/// blended; of an animation the first frame. The format is detected from the first bytes, never
/// from a name. Colour profiles, gamma and, by default, EXIF rotation are ignored, like in
/// OpenCLIP. decode.md lists every kind of image.
///
/// Damage that Pillow tolerates (a wrong CRC or flipped bit in the image data, a PNG without its
/// end chunk) is tolerated. Data that ends before the last pixel is Skip::kTruncated, and so is a
/// JPEG without its end marker. Stricter than Pillow: a PNG that needs a palette and has none, and
/// one whose compressed data is truncated, are skips, not black pixels. Throws std::bad_alloc when
/// out of memory.
std::variant<Image, Skip> DecodeImage(std::span<const std::byte> bytes,
                                      const DecodeOptions& options = {});

/// Like DecodeImage for a box, which `choose` returns once the size is known: `part` gets a part of
/// the image that contains the box, with the same bytes; its memory is reused. For JPEGs this saves
/// decoding the rest. A skip does not depend on the box. With DecodeOptions::fast_side the part can
/// be scaled down, and its box is rounded to its whole pixels. Throws like DecodeImage, and
/// std::invalid_argument for a box that is not inside the image.
std::optional<Skip> DecodePart(std::span<const std::byte> bytes, const ChooseBox& choose,
                               const DecodeOptions& options, PicturePart& part);

/// Like DecodeImage, but blends transparent images over `background`, with the rounding of Pillow's
/// Image.paste with the alpha channel as mask. Images without transparency are the same as from
/// DecodeImage.
std::variant<Image, Skip> DecodeImageOver(std::span<const std::byte> bytes, const Rgb& background,
                                          const DecodeOptions& options = {});

}  // namespace fastclip
