#pragma once

#include <cstdint>

namespace fastclip {

/// The factor by which gradients are held away from float16's underflow, as torch.amp.GradScaler's:
/// halved after a step whose gradients overflowed, doubled after 2,000 good ones in a row.
/// A power of two, so that scaling is exact. It lies in the checkpoint.
struct GradScaler {
  static constexpr double kStart = 65536;
  static constexpr std::int64_t kGrowthInterval = 2000;

  double scale = kStart;
  std::int64_t good_steps = 0;  ///< since the scale last changed

  /// Whether an overflow may be the scale's fault; below, the numbers themselves are not finite.
  bool CanShrink() const { return scale > 1; }
  void Update(bool finite) {
    if (!finite) {
      if (CanShrink()) scale /= 2;
      good_steps = 0;
    } else if (++good_steps == kGrowthInterval) {
      scale *= 2;
      good_steps = 0;
    }
  }
};

}  // namespace fastclip
