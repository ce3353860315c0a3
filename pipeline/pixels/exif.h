#pragma once

#include <cstddef>
#include <span>

#include "pipeline/pixels/image.h"

namespace fastclip {

/// How the stored picture is turned to be shown: the value of EXIF's tag Orientation, 1 (as it is)
/// to 8.
using Orientation = int;
inline constexpr Orientation kUpright = 1;

/// The orientation that the first directory of an EXIF block tells; kUpright where there is no such
/// tag or the block makes no sense. `exif` begins with its TIFF header, or with "Exif\0\0" before
/// that; one entry after the other is looked at, nothing is kept. (A library would read all of a
/// block that strangers wrote for the sake of one number.)
Orientation ReadOrientation(std::span<const std::byte> exif);

/// Of the picture as it is shown.
ImageSize ShownSize(const ImageSize& stored, Orientation orientation);
/// Where a box of the shown picture lies in the stored one, whose size is `stored`.
CropBox StoredBox(const CropBox& shown, const ImageSize& stored, Orientation orientation);
/// Turns the part, and with it its box, from stored to shown.
void TurnPart(Orientation orientation, PicturePart& part);

}  // namespace fastclip
