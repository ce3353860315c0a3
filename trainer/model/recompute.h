#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

namespace fastclip {

/// Activation checkpointing: `part`(x), of which the graph keeps x alone. Its backward pass runs
/// `part` once more under the autocast of the forward, and so gives the same gradients to the bit.
/// `parameters` are the leaves that `part` reads besides x; x and they get their gradients as from
/// any other node. `part` and what it refers to must outlive the backward pass; it must give the
/// same for the same x.
at::Tensor Recomputed(std::function<at::Tensor(const at::Tensor&)> part, const at::Tensor& x,
                      const std::vector<at::Tensor>& parameters);

}  // namespace fastclip
