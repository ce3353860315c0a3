#pragma once

#include <cstdint>
#include <vector>

namespace fastclip {

/// How one axis of an image is scaled: for each output pixel, the input pixels it sums and their
/// weights. Pillow's bicubic filter (a = -0.5), widened when downscaling, in fixed point with 22
/// fractional bits.
struct AxisWeights {
  static constexpr int kBits = 22;

  struct Tap {
    int first = 0;  ///< first input pixel
    int count = 0;
  };
  std::vector<Tap> taps;              ///< one per output pixel
  std::vector<std::int32_t> weights;  ///< `stride` per output pixel, the first `count` used
  int stride = 0;

  /// Output pixels [first, first + count) of an axis of `in` pixels scaled to `out`; their sums do
  /// not depend on the range. Memory is reused between calls.
  void Compute(int in, std::int64_t out, std::int64_t first, int count);

  const std::int32_t* of(int pixel) const {
    return weights.data() + static_cast<std::size_t>(pixel) * stride;
  }
};

}  // namespace fastclip
