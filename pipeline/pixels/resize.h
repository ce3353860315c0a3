#pragma once

#include <cstdint>
#include <span>

#include "pipeline/pixels/image.h"

namespace fastclip {

/// The box `box` of `image`, cut out and then scaled to width × height by Pillow's bicubic filter
/// (antialiased, two passes over 8-bit intermediates), to the byte: torchvision's resized_crop,
/// which sees nothing outside the box. `out` is [height, width, 3].
/// Throws std::invalid_argument for a box that is not inside the image or an `out` of another size.
void ResizeBicubic(const Image& image, const CropBox& box, int width, int height,
                   std::span<std::uint8_t> out);

/// OpenCLIP's evaluation picture: shorter side to `size`, then the central size × size, rounded as
/// torchvision's Resize and CenterCrop. `out` is [size, size, 3]; throws like ResizeBicubic.
void ResizeCenterCrop(const Image& image, int size, std::span<std::uint8_t> out);

}  // namespace fastclip
