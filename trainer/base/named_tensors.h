#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

namespace fastclip {

/// Tensors by name, in a fixed order. Copying copies handles, not numbers.
using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

}  // namespace fastclip
