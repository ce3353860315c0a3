#pragma once

#include <cstdint>

namespace fastclip {

/// Loss scale against float16 underflow, like torch.amp.GradScaler: halved after a step whose
/// gradients overflowed, doubled after 2,000 good steps in a row. A power of two, so that scaling
/// is exact. Saved in the checkpoint.
struct GradScaler {
  static constexpr double kStart = 65536;
  static constexpr std::int64_t kGrowthInterval = 2000;

  double scale = kStart;
  std::int64_t good_steps = 0;  ///< since the scale last changed

  /// Whether the scale can cause an overflow. If not, the gradients themselves are not finite.
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
