#pragma once

#include <string>
#include <vector>

#include "trainer/adapters/adapter.h"
#include "trainer/base/named_tensors.h"

namespace fastclip {

struct WeightedAdapter {
  std::string name;  ///< for errors
  Adapter adapter;
  double weight = 1;
};

/// What columns of S²FT that several adapters change are: an error, or the sum of all changes.
enum class OnOverlap { kRefuse, kAdd };

/// One adapter whose change of the weights is the weighted sum of those of `adapters`.
///
/// LoRA: ranks are concatenated, so B A is the sum exactly. S²FT: the union of the columns, and
/// their values. Parameters of the model itself: base + Σ weight (value − base). REQUIRES:
/// CheckAdapter() of each, one model, and that `base` are the tensors of it. Throws
/// std::runtime_error: other kinds of tuners, a rank that would exceed the matrix, columns that
/// overlap under kRefuse.
Adapter Fuse(const std::vector<WeightedAdapter>& adapters, const NamedTensors& base,
             OnOverlap overlap);

}  // namespace fastclip
