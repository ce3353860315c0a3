#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <variant>
#include <vector>

#include "pipeline/augment.h"
#include "pipeline/record.h"

namespace fastclip {

/// 8-bit RGB, rows top to bottom without padding: [height, width, 3].
struct Image {
  int width = 0;
  int height = 0;
  std::vector<std::uint8_t> pixels;
};

struct DecodeOptions {
  /// Pictures with more pixels are Skip::kTooLarge, told from the header, before any is decoded.
  std::int64_t max_pixels = 25'000'000;
};

struct ImageSize {
  int width = 0;
  int height = 0;
};

/// The size that the header of a JPEG, PNG or WebP claims; the skip of one that is neither.
std::variant<ImageSize, Skip> ReadImageSize(std::span<const std::byte> bytes,
                                            const DecodeOptions& options = {});

/// A JPEG, PNG or WebP as Pillow 10 to 12 gives it after convert("RGB"), to the byte: alpha is
/// dropped, not blended. The kind is told from the first bytes, never from a name.
std::variant<Image, Skip> DecodeImage(std::span<const std::byte> bytes,
                                      const DecodeOptions& options = {});

/// The box `box` of `image` scaled to width × height by Pillow's bicubic filter (antialiased, two
/// passes over 8-bit intermediates), to the byte; `out` is [height, width, 3].
void ResizeBicubic(const Image& image, const CropBox& box, int width, int height,
                   std::span<std::uint8_t> out);

/// OpenCLIP's evaluation picture: shorter side to `size`, then the central size × size.
void ResizeCenterCrop(const Image& image, int size, std::span<std::uint8_t> out);

}  // namespace fastclip
