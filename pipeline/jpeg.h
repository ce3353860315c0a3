#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <variant>

#include "pipeline/image.h"

namespace fastclip {

/// image.h's functions for bytes that begin like a JPEG (FF D8 FF).
bool LooksLikeJpeg(std::span<const std::byte> bytes);
struct JpegHeader {
  ImageSize size;
  /// Of decoding: 3, or 7 with four channels; 2 more a channel where all coefficients are kept.
  int bytes_a_pixel = 0;
};
std::variant<JpegHeader, Skip> ReadJpegHeader(std::span<const std::byte> bytes);

/// Any process that libjpeg knows: baseline, progressive, arithmetic; grey, YCbCr, RGB, CMYK, YCCK.
/// Four channels are read as inverted, with or without Adobe's marker, as Pillow does. More than
/// 100 scans are Skip::kTooLarge: each walks over the whole picture. `wanted` tells the box once
/// the size is known, or why a picture of that size is none; `part` gets its rows, and its columns
/// with a block or two on either side.
std::optional<Skip> DecodeJpeg(
    std::span<const std::byte> bytes,
    const std::function<std::variant<CropBox, Skip>(const ImageSize&)>& wanted, PicturePart& part);

}  // namespace fastclip
