#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace fastclip {

/// Loss scale against float16 underflow, like torch.amp.GradScaler: halved after a step whose
/// gradients overflowed, doubled after 2,000 good steps in a row. A power of two, so that scaling
/// is exact.
///
/// It is kept where the model is: a GPU's host need not wait to know the next step's scale.
class GradScaler {
 public:
  static constexpr double kStart = 65536;
  static constexpr std::int64_t kGrowthInterval = 2000;

  /// Saved in the checkpoint.
  struct State {
    double scale = kStart;
    std::int64_t good_steps = 0;  ///< since the scale last changed
  };

  explicit GradScaler(at::Device device = at::kCPU);

  /// 0-d float64. A copy: Update() does not change it.
  at::Tensor scale() const;
  /// Follows a step; `refused`: 0-d bool. Returns whether the scale shrank, 0-d bool: not if it is
  /// 1 already, since then the gradients themselves are not finite.
  at::Tensor Update(const at::Tensor& refused);

  /// Waits for a GPU.
  State state() const;
  void Set(const State& state);

 private:
  at::Tensor scale_, good_steps_;  // 0-d float64, int64; recorded steps update them in place
};

}  // namespace fastclip
