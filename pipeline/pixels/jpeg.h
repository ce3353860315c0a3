#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <variant>

#include "pipeline/pixels/image.h"

namespace fastclip {

/// image.h's functions for bytes that begin like a JPEG (FF D8 FF).
bool LooksLikeJpeg(std::span<const std::byte> bytes);
struct JpegHeader {
  ImageSize size;
  /// For decoding: 3, or 7 with four channels; 2 more per channel if all coefficients are kept.
  int bytes_a_pixel = 0;
  /// The first EXIF block, if requested: a view into the image's bytes.
  std::span<const std::byte> exif{};
};
std::variant<JpegHeader, Skip> ReadJpegHeader(std::span<const std::byte> bytes, bool find_exif);

/// What to decode of a JPEG: the pixels of a box, at 1/shrink of its size (1, 2, 4, 8).
struct JpegWish {
  CropBox box;
  int shrink = 1;
};
using ChooseJpegPart = std::function<std::variant<JpegWish, Skip>(const JpegHeader&)>;

/// Decodes any process that libjpeg supports: baseline, progressive, arithmetic; grey, YCbCr, RGB,
/// CMYK, YCCK. Four channels are read as inverted, with or without Adobe's marker, like Pillow.
/// More than 100 scans are Skip::kTooLarge, since each scan covers the whole image. `choose`
/// returns what to decode once the header is known, or a skip; `part` gets the box's rows, and its
/// columns with a block or two on either side.
std::optional<Skip> DecodeJpeg(std::span<const std::byte> bytes, bool find_exif,
                               const ChooseJpegPart& choose, PicturePart& part);

}  // namespace fastclip
