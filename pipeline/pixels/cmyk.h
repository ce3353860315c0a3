#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace fastclip {

/// a · b / 255, rounded as Pillow does.
inline std::uint8_t MultiplyChannels(int a, int b) {
  const int product = a * b + 128;
  return static_cast<std::uint8_t>((product + (product >> 8)) >> 8);
}

/// Converts inverted CMYK like Pillow: each ink darkens what black leaves.
inline void ConvertInvertedCmyk(std::span<const std::uint8_t> cmyk, std::span<std::uint8_t> rgb) {
  for (std::size_t pixel = 0; pixel < rgb.size() / 3; ++pixel) {
    const int left_by_black = cmyk[4 * pixel + 3];
    for (std::size_t channel = 0; channel < 3; ++channel) {
      const int ink = 255 - cmyk[4 * pixel + channel];
      rgb[3 * pixel + channel] =
          static_cast<std::uint8_t>(left_by_black - MultiplyChannels(ink, left_by_black));
    }
  }
}

}  // namespace fastclip
