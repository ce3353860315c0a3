#pragma once

#include <cstddef>
#include <span>
#include <variant>
#include <vector>

#include "pipeline/convert/convert.h"
#include "pipeline/pixels/image.h"

namespace fastclip {

/// An image as it is written to a shard.
struct PackedPicture {
  const char* extension = "";    ///< of the image's format
  std::vector<std::byte> image;  ///< empty: the original bytes
  ImageSize size, original;
};

/// Converts an image by `options`, or returns why it cannot be packed. With Encoding::kKeep only
/// its header is read.
std::variant<PackedPicture, Skip> PackPicture(std::span<const std::byte> bytes,
                                              const ConvertOptions& options);

}  // namespace fastclip
