#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

namespace fastclip {

/// Activation checkpointing: `part`(x), of which the graph keeps x alone. Its backward pass runs
/// `part` once more under the autocast of the forward, and so gives the same gradients to the bit.
/// `parameters` are what `part` reads besides x; x and they get their gradients as from any other
/// node. The backward pass throws std::logic_error where `part` reads another leaf that requires a
/// gradient: it would get none. `part` and what it refers to must outlive the backward pass; it
/// must give the same for the same x.
at::Tensor Recomputed(std::function<at::Tensor(const at::Tensor&)> part, const at::Tensor& x,
                      const std::vector<at::Tensor>& parameters);

}  // namespace fastclip
