#pragma once

#include <cstdint>
#include <span>

#include "pipeline/pixels/image.h"

namespace fastclip {

/// Blends one channel over another like Pillow: round((above·alpha + below·(255 − alpha)) / 255).
inline std::uint8_t BlendChannel(int above, int alpha, int below) {
  const int sum = above * alpha + below * (255 - alpha) + 128;
  return static_cast<std::uint8_t>((sum + (sum >> 8)) >> 8);
}

/// [n, 4] RGBA over a colour into [n, 3]. REQUIRES: rgba.size() / 4 == rgb.size() / 3.
inline void BlendOver(std::span<const std::uint8_t> rgba, const Rgb& background,
                      std::span<std::uint8_t> rgb) {
  for (std::size_t pixel = 0; pixel < rgb.size() / 3; ++pixel) {
    for (std::size_t channel = 0; channel < 3; ++channel) {
      rgb[3 * pixel + channel] =
          BlendChannel(rgba[4 * pixel + channel], rgba[4 * pixel + 3], background[channel]);
    }
  }
}

}  // namespace fastclip
