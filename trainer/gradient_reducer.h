#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "comm/communicator.h"
#include "trainer/named_tensors.h"

namespace fastclip {

/// Sums gradients, and scalars that ride along, over the ranks. Objectives give each rank its share of
/// the global mean, so a sum is all there is: no factor of the world size anywhere.
class GradientReducer {
 public:
  GradientReducer(const NamedTensors& parameters, Communicator& comm);

  /// Drops the gradients of the last step.
  void Begin();
  /// A 0-d tensor to sum over the ranks; returns its place for Sum().
  std::size_t Add(const at::Tensor& scalar);
  /// Reduces all gradients and scalars. Parameters without gradient count as zero on this rank.
  void Finish();
  double Sum(std::size_t place) const { return sums_[place]; }

 private:
  const NamedTensors& parameters_;
  Communicator& comm_;
  std::vector<at::Tensor> scalars_;
  std::vector<double> sums_;
};

}  // namespace fastclip
