#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

namespace fastclip {

/// Activation checkpointing: returns `part`(x) and keeps only x for the backward pass, which runs
/// `part` again under the forward's autocast. Gradients are bit-identical. `parameters` are all
/// parameters that `part` reads; they and x get gradients as from any other node. The backward pass
/// throws std::logic_error if `part` reads another leaf that requires a gradient, since it would
/// get none. `part` and what it refers to must outlive the backward pass, and must be
/// deterministic.
at::Tensor Recomputed(std::function<at::Tensor(const at::Tensor&)> part, const at::Tensor& x,
                      const std::vector<at::Tensor>& parameters);

}  // namespace fastclip
