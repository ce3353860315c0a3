#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <variant>

#include "pipeline/image.h"

namespace fastclip {

/// image.h's functions for bytes that begin like a JPEG (FF D8 FF).
bool LooksLikeJpeg(std::span<const std::byte> bytes);
std::variant<ImageSize, Skip> ReadJpegSize(std::span<const std::byte> bytes);

/// Of decoding: 3, or 7 with four channels; 2 more a channel where all coefficients are kept.
int JpegBytesAPixel(std::span<const std::byte> bytes);

/// Any process that libjpeg knows: baseline, progressive, arithmetic; grey, YCbCr, RGB, CMYK, YCCK.
/// Four channels are read as inverted, with or without Adobe's marker, as Pillow does. More than
/// 100 scans are Skip::kTooLarge: each walks over the whole picture. `part` gets the rows of `box`
/// and its columns with a block or two on either side. REQUIRES: its size is allowed.
std::optional<Skip> DecodeJpeg(std::span<const std::byte> bytes, const CropBox& box,
                               PicturePart& part);

}  // namespace fastclip
