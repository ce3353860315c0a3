#pragma once

#include <cstddef>
#include <vector>

#include "pipeline/pixels/image.h"

namespace fastclip {

/// Whether EncodeJpeg and EncodePng can write an image of this size.
bool FitsJpeg(const ImageSize& size);
bool FitsPng(const ImageSize& size);

/// A baseline JPEG with 4:2:0 chroma, Pillow's default, and optimized Huffman tables.
/// Deterministic. `quality` is libjpeg's, 1 to 100. Throws std::invalid_argument for an empty
/// image, more than 65,500 pixels per side or more than 2 GiB.
std::vector<std::byte> EncodeJpeg(const Image& image, int quality);

/// A PNG of 8-bit RGB with zlib's default level. Deterministic. Throws std::invalid_argument for an
/// empty image, more than 1,000,000 pixels per side or more than 2 GiB.
std::vector<std::byte> EncodePng(const Image& image);

}  // namespace fastclip
