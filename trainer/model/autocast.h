#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace fastclip {

/// During its lifetime, this thread's matrix products and attention on `device` run in and return
/// `dtype`; without a dtype, autocast is off. The destructor restores the previous state.
///
/// Weights are cast on each use and casts are not cached: each is used once per forward pass, and a
/// cached cast would outlive the optimizer step.
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

/// The current autocast dtype on `device`, to recompute the same later.
std::optional<at::ScalarType> AutocastDtype(at::DeviceType device);

}  // namespace fastclip
