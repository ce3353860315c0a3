#pragma once

#include <cstddef>
#include <span>
#include <variant>

#include "pipeline/pixels/image.h"

namespace fastclip {

/// image.h's functions for bytes that begin like a WebP (RIFF, size, WEBP).
bool LooksLikeWebp(std::span<const std::byte> bytes);
std::variant<ImageSize, Skip> ReadWebpSize(std::span<const std::byte> bytes);
/// The chunk EXIF; empty if there is none.
std::span<const std::byte> FindWebpExif(std::span<const std::byte> bytes);

/// Decodes lossy, lossless and alpha; of an animation the first frame on its canvas, which is black
/// and transparent outside the frame. `background`: null drops transparency, else see
/// DecodeImageOver. REQUIRES: its size is allowed.
std::variant<Image, Skip> DecodeWebp(std::span<const std::byte> bytes, const Rgb* background);

}  // namespace fastclip
