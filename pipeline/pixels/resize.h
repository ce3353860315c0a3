#pragma once

#include <cstdint>
#include <span>

#include "pipeline/pixels/image.h"

namespace fastclip {

/// Crops `box` from `image` and scales it to width × height, bit-identical to Pillow's bicubic
/// filter (antialiased, two passes over 8-bit intermediates). Like torchvision's resized_crop, it
/// uses no pixels outside the box. `out` is [height, width, 3]. Throws std::invalid_argument for a
/// box that is not inside the image or an `out` of another size.
void ResizeBicubic(const Image& image, const CropBox& box, int width, int height,
                   std::span<std::uint8_t> out);

/// OpenCLIP's evaluation transform: shorter side to `size`, then the central size × size, rounded
/// like torchvision's Resize and CenterCrop. `out` is [size, size, 3]; throws like ResizeBicubic.
void ResizeCenterCrop(const Image& image, int size, std::span<std::uint8_t> out);

}  // namespace fastclip
