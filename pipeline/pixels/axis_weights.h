#pragma once

#include <cstdint>
#include <vector>

namespace fastclip {

/// How one axis of a picture is scaled: for each wanted output pixel, which input pixels it sums
/// and with which weights. Pillow's bicubic filter (a = -0.5), widened where the axis shrinks, in
/// fixed point with 22 bits after the point.
struct AxisWeights {
  static constexpr int kBits = 22;

  struct Tap {
    int first = 0;  ///< first input pixel
    int count = 0;
  };
  std::vector<Tap> taps;              ///< one per output pixel
  std::vector<std::int32_t> weights;  ///< `stride` per output pixel, the first `count` used
  int stride = 0;

  /// Output pixels [first, first + count) of an axis of `in` pixels scaled to `out`; what they sum
  /// does not depend on how many of them are wanted. Memory is reused from call to call.
  void Compute(int in, std::int64_t out, std::int64_t first, int count);

  const std::int32_t* of(int pixel) const {
    return weights.data() + static_cast<std::size_t>(pixel) * stride;
  }
};

}  // namespace fastclip
