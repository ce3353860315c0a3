#pragma once

#include <cstddef>
#include <span>
#include <variant>

#include "pipeline/pixels/image.h"

namespace fastclip {

/// image.h's functions for bytes that begin with GIF87a or GIF89a.
bool LooksLikeGif(std::span<const std::byte> bytes);
/// The size of the canvas, which grows if the first frame does not fit.
std::variant<ImageSize, Skip> ReadGifSize(std::span<const std::byte> bytes);

/// The first frame on its canvas. Outside of the frame the canvas has the transparent index, or
/// index 0 if there is none. Data after the frame's last pixel is not read. `background`: null
/// drops transparency, else see DecodeImageOver. REQUIRES: its size is allowed.
std::variant<Image, Skip> DecodeGif(std::span<const std::byte> bytes, const Rgb* background);

}  // namespace fastclip
