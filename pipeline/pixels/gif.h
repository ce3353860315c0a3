#pragma once

#include <cstddef>
#include <span>
#include <variant>

#include "pipeline/pixels/image.h"

namespace fastclip {

/// image.h's functions for bytes that begin with GIF87a or GIF89a.
bool LooksLikeGif(std::span<const std::byte> bytes);
/// Of the canvas, which grows where the first frame does not fit.
std::variant<ImageSize, Skip> ReadGifSize(std::span<const std::byte> bytes);

/// The first frame on its canvas, which has the transparent index outside of the frame, or index 0
/// where none is transparent. Nothing behind the frame's last pixel is looked at. `background`:
/// null drops transparency, else see DecodeImageOver. REQUIRES: its size is allowed.
std::variant<Image, Skip> DecodeGif(std::span<const std::byte> bytes, const Rgb* background);

}  // namespace fastclip
