#pragma once

#include <cstddef>
#include <span>
#include <variant>

#include "pipeline/pixels/image.h"

namespace fastclip {

/// image.h's functions for bytes that begin with BM.
///
/// A reader of our own: what other libraries make of 5-bit channels, palettes and masks is not
/// what Pillow makes of them, and a bitmap is little more than its header.
bool LooksLikeBmp(std::span<const std::byte> bytes);
std::variant<ImageSize, Skip> ReadBmpSize(std::span<const std::byte> bytes);

/// Headers of 12, 40, 52, 56, 64, 108 and 124 bytes; 1, 4, 8, 16, 24, 32 bits a pixel, run lengths
/// of 4 and 8 bits, masks 565 and 555, or a byte for each channel. Only masks make alpha of the
/// fourth byte. `background`: null drops it, else see DecodeImageOver. REQUIRES: its size is
/// allowed.
///
/// Where Pillow takes an index's bits for another number of bits (8 bits with the palette black,
/// white; 4 bits with the grey ramp) or halves of bytes go lost (odd runs of 4 bits as they are),
/// the pixels are those of the file.
std::variant<Image, Skip> DecodeBmp(std::span<const std::byte> bytes, const Rgb* background);

}  // namespace fastclip
