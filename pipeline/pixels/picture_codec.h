#pragma once

#include <cstddef>
#include <span>
#include <variant>

#include "pipeline/pixels/image.h"
#include "pipeline/records/picture_format.h"

namespace fastclip {

/// How the files of one format are read. The others are called only where looks_like is true.
struct PictureCodec {
  PictureFormat format;
  bool (*looks_like)(std::span<const std::byte> bytes);
  std::variant<ImageSize, Skip> (*read_size)(std::span<const std::byte> bytes);
  /// `background`: null drops transparency, else see DecodeImageOver. REQUIRES: its size is
  /// allowed.
  std::variant<Image, Skip> (*decode)(std::span<const std::byte> bytes, const Rgb* background);
  /// The EXIF block; empty if there is none. Null for formats that have none.
  std::span<const std::byte> (*find_exif)(std::span<const std::byte> bytes) = nullptr;
};

/// Begins with PNG's signature. Every colour type and depth; like Pillow, 16 bits per channel keep
/// the high byte, but 16-bit grey clips at 255. Chunks without pixels are skipped unread; eXIf is
/// found at any position.
extern const PictureCodec kPngCodec;

/// Begins with RIFF, size, WEBP. Lossy, lossless and alpha; of an animation the first frame on its
/// canvas, which is black and transparent outside the frame.
extern const PictureCodec kWebpCodec;

/// Begins with GIF87a or GIF89a. The first frame on its canvas, which grows if the frame does not
/// fit. Outside of the frame the canvas has the transparent index, or index 0 if there is none.
/// Data after the frame's last pixel is not read.
extern const PictureCodec kGifCodec;

/// Begins with BM. An own reader, because other libraries decode 5-bit channels, palettes and masks
/// differently from Pillow.
///
/// Reads headers of 12, 40, 52, 56, 64, 108 and 124 bytes; 1, 4, 8, 16, 24, 32 bits per pixel; 4-
/// and 8-bit run lengths; masks 565 and 555, or one byte per channel. The fourth byte is alpha only
/// with masks.
///
/// Pillow misreads some files: it assumes another bit depth (8 bits with the palette black, white;
/// 4 bits with the grey ramp), or loses half bytes (odd literal runs of 4 bits). Here the pixels
/// are those of the file.
extern const PictureCodec kBmpCodec;

}  // namespace fastclip
