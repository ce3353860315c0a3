#pragma once

#include <cstddef>
#include <span>
#include <variant>
#include <vector>

#include "pipeline/convert/convert.h"
#include "pipeline/pixels/image.h"

namespace fastclip {

/// A picture as it goes into a shard.
struct PackedPicture {
  const char* extension = "";    ///< that of its bytes
  std::vector<std::byte> image;  ///< empty: the bytes as they were
  ImageSize size, original;
};

/// What `options` make of a picture, or why it cannot be packed. With Encoding::kKeep only its
/// header is read.
std::variant<PackedPicture, Skip> PackPicture(std::span<const std::byte> bytes,
                                              const ConvertOptions& options);

}  // namespace fastclip
