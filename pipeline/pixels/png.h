#pragma once

#include <cstddef>
#include <span>
#include <variant>

#include "pipeline/pixels/image.h"

namespace fastclip {

/// image.h's functions for bytes that begin with PNG's signature.
bool LooksLikePng(std::span<const std::byte> bytes);
std::variant<ImageSize, Skip> ReadPngSize(std::span<const std::byte> bytes);
/// The chunk eXIf at any position; empty if there is none.
std::span<const std::byte> FindPngExif(std::span<const std::byte> bytes);

/// Decodes every colour type and depth. Like Pillow, 16 bits per channel keep the high byte, but
/// 16-bit grey clips at 255. Chunks without pixels are skipped unread. `background`: null drops
/// transparency, else see DecodeImageOver. REQUIRES: its size is allowed.
std::variant<Image, Skip> DecodePng(std::span<const std::byte> bytes, const Rgb* background);

}  // namespace fastclip
