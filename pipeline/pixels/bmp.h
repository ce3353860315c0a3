#pragma once

#include <cstddef>
#include <span>
#include <variant>

#include "pipeline/pixels/image.h"

namespace fastclip {

/// image.h's functions for bytes that begin with BM.
///
/// An own reader, because other libraries decode 5-bit channels, palettes and masks differently
/// from Pillow.
bool LooksLikeBmp(std::span<const std::byte> bytes);
std::variant<ImageSize, Skip> ReadBmpSize(std::span<const std::byte> bytes);

/// Reads headers of 12, 40, 52, 56, 64, 108 and 124 bytes; 1, 4, 8, 16, 24, 32 bits per pixel; 4-
/// and 8-bit run lengths; masks 565 and 555, or one byte per channel. The fourth byte is alpha only
/// with masks. `background`: null drops alpha, else see DecodeImageOver. REQUIRES: its size is
/// allowed.
///
/// Pillow misreads some files: it assumes another bit depth (8 bits with the palette black, white;
/// 4 bits with the grey ramp), or loses half bytes (odd literal runs of 4 bits). Here the pixels
/// are those of the file.
std::variant<Image, Skip> DecodeBmp(std::span<const std::byte> bytes, const Rgb* background);

}  // namespace fastclip
