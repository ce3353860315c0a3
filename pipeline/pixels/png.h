#pragma once

#include <cstddef>
#include <span>
#include <variant>

#include "pipeline/pixels/image.h"

namespace fastclip {

/// image.h's functions for bytes that begin with PNG's signature.
bool LooksLikePng(std::span<const std::byte> bytes);
std::variant<ImageSize, Skip> ReadPngSize(std::span<const std::byte> bytes);
/// The chunk eXIf, wherever it is; empty where it is not.
std::span<const std::byte> FindPngExif(std::span<const std::byte> bytes);

/// Every colour type and depth. 16 bits a channel keep the high byte, but 16-bit grey clips at 255:
/// Pillow's way. Chunks that do not bear pixels are passed over unread. `background`: null drops
/// transparency, else see DecodeImageOver. REQUIRES: its size is allowed.
std::variant<Image, Skip> DecodePng(std::span<const std::byte> bytes, const Rgb* background);

}  // namespace fastclip
