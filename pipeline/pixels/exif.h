#pragma once

#include <cstddef>
#include <span>

#include "pipeline/pixels/image.h"

namespace fastclip {

/// How the stored image is rotated for display: EXIF's tag Orientation, 1 (unchanged) to 8.
using Orientation = int;
inline constexpr Orientation kUpright = 1;

/// The orientation in the first directory of an EXIF block; kUpright if there is no such tag or the
/// block is invalid. `exif` begins with its TIFF header, or with "Exif\0\0" before it. Only the
/// entries of that directory are read, since the block is untrusted.
Orientation ReadOrientation(std::span<const std::byte> exif);

/// The size of the displayed image.
ImageSize ShownSize(const ImageSize& stored, Orientation orientation);
/// Maps a box of the displayed image to the stored one, whose size is `stored`.
CropBox StoredBox(const CropBox& shown, const ImageSize& stored, Orientation orientation);
/// Rotates the part and its box from stored to displayed orientation.
void TurnPart(Orientation orientation, PicturePart& part);

}  // namespace fastclip
