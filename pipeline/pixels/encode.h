#pragma once

#include <cstddef>
#include <vector>

#include "pipeline/pixels/image.h"

namespace fastclip {

/// Whether EncodeJpeg and EncodePng can write a picture of this size.
bool FitsJpeg(const ImageSize& size);
bool FitsPng(const ImageSize& size);

/// A baseline JPEG with 4:2:0 chroma, as Pillow writes by default, and Huffman tables fitted to the
/// picture. The same picture gives the same bytes. `quality` is libjpeg's, 1 to 100. Throws
/// std::invalid_argument for an empty picture, one over 65,500 pixels a side or over 2 GiB.
std::vector<std::byte> EncodeJpeg(const Image& image, int quality);

/// A PNG of 8-bit RGB, zlib's default level. The same picture gives the same bytes. Throws
/// std::invalid_argument for an empty picture, one over 1,000,000 pixels a side or over 2 GiB.
std::vector<std::byte> EncodePng(const Image& image);

}  // namespace fastclip
