#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace fastclip {

/// Whether a step is refused: its loss or gradient is not finite, so it must change nothing.
///
/// On the CPU the host knows it. On a GPU only the device does, so that the host need not wait:
/// what the step would change is masked there.
class Refusal {
 public:
  /// Not refused.
  Refusal() = default;
  /// `refused`: 0-d bool.
  explicit Refusal(const at::Tensor& refused);

  /// True on the CPU if the step is refused; false on a GPU.
  bool known() const { return known_; }
  /// 0-d float32, 1: refused. Undefined unless only the device knows.
  const at::Tensor& on_device() const { return on_device_; }
  /// The same for fused optimizers.
  std::optional<at::Tensor> found_inf() const {
    return on_device_.defined() ? std::optional(on_device_) : std::nullopt;
  }

  /// `before` where the device refuses, else `after`.
  at::Tensor Choose(const at::Tensor& before, const at::Tensor& after) const;

 private:
  bool known_ = false;
  at::Tensor mask_;  // bool
  at::Tensor on_device_;
};

}  // namespace fastclip
