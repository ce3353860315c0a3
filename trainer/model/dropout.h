#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

namespace fastclip {

/// What the masks of a model's dropout depend on, besides the place in the model. Shared by the
/// model and what is attached to it. None: no dropout, as in evaluation.
struct DropoutKey {
  std::optional<std::uint64_t> value;
};

/// During its lifetime a model's dropout draws its masks from `key`. A forward pass, its backward
/// pass, which may compute parts again, and a second forward pass repeat each other under equal
/// keys.
class DropoutScope {
 public:
  DropoutScope(std::shared_ptr<DropoutKey> of, std::uint64_t key) : of_(std::move(of)) {
    of_->value = key;
  }
  ~DropoutScope() { of_->value.reset(); }
  DropoutScope(const DropoutScope&) = delete;
  DropoutScope& operator=(const DropoutScope&) = delete;

 private:
  std::shared_ptr<DropoutKey> of_;
};

/// x with each element zero with probability `p`, else divided by 1 − p. A function of `key`, the
/// shape and the element's number, the same on all devices.
at::Tensor Dropped(const at::Tensor& x, double p, std::uint64_t key);

}  // namespace fastclip
