#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "pipeline/pixels/axis_weights.h"

namespace fastclip {

/// An axis's weights in the kernels' format: a weight is high · 2^12 + low, both 16 bits, and the
/// halves of two neighbours share one 32-bit word, the first in its lower bits. Odd counts are
/// padded with weights of 0. Memory is reused between calls.
struct SplitWeights {
  static constexpr int kLowBits = 12;

  struct Pair {
    std::int32_t high = 0;
    std::int32_t low = 0;
  };
  std::vector<AxisWeights::Tap> taps;  ///< one per output pixel
  std::vector<Pair> pairs;             ///< `stride` per output pixel, those without a tap 0
  int stride = 0;                      ///< as many as the widest output pixel needs

  void Split(const AxisWeights& weights);
  const Pair* of(int pixel) const {
    return pairs.data() + static_cast<std::size_t>(pixel) * stride;
  }
  int size() const { return static_cast<int>(taps.size()); }
};

/// Rows of an image, 3 bytes per pixel.
struct PixelRows {
  const std::uint8_t* first = nullptr;
  std::size_t stride = 0;             ///< bytes from row to row
  const std::uint8_t* end = nullptr;  ///< of the readable memory
};

/// Padding bytes after each scaled row, because the kernels read and write whole vectors.
inline constexpr std::size_t kRowPadding = 64;

/// Scales `rows` rows of `in_width` pixels along x, each into `out_stride` bytes.
/// REQUIRES: out_stride ≥ 3 · weights.size() + kRowPadding.
void ScaleRows(const PixelRows& in, int rows, int in_width, const SplitWeights& weights,
               std::uint8_t* out, std::size_t out_stride);

/// Scales along y: `weights.size()` rows of `bytes` bytes, without padding. `in` holds rows from
/// the axis's pixel `in_top` on.
/// REQUIRES: in_stride ≥ bytes + kRowPadding.
void ScaleColumns(const std::uint8_t* in, std::size_t in_stride, int in_top, std::size_t bytes,
                  const SplitWeights& weights, std::uint8_t* out);

}  // namespace fastclip
