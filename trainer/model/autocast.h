#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace fastclip {

/// While it lives, this thread's matrix products and attention on `device` run in `dtype` and give
/// it; without a dtype they run in their inputs' own. What was set before comes back.
///
/// Weights are cast where they are used and no cast is kept: each is used once a forward pass, and
/// a kept one would outlive the optimizer's step.
class AutocastGuard {
 public:
  AutocastGuard(at::DeviceType device, std::optional<at::ScalarType> dtype);
  ~AutocastGuard();
  AutocastGuard(const AutocastGuard&) = delete;
  AutocastGuard& operator=(const AutocastGuard&) = delete;

 private:
  at::DeviceType device_;
  bool enabled_, cached_;
  at::ScalarType dtype_;
};

/// The dtype that autocast computes in on `device`, for who computes the same again later.
std::optional<at::ScalarType> AutocastDtype(at::DeviceType device);

}  // namespace fastclip
