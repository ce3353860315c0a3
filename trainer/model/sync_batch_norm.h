#pragma once

#include <ATen/core/Tensor.h>

#include "comm/communicator.h"

namespace fastclip {

struct SyncedNorm {
  at::Tensor y;         ///< shape and type of x
  at::Tensor mean;      ///< [channels], over the rows of all ranks
  at::Tensor variance;  ///< [channels], unbiased (n − 1)
};

/// Batch normalization of x [b, channels, h, w] over the rows and positions of all ranks, weighted
/// by their numbers of rows, which can differ. Uses one small collective here (2·channels + 1
/// numbers per rank) and one in the backward pass (2·channels). Gradients of weight and bias are
/// this rank's share; sum them over ranks like the others. Statistics are float64. Throws
/// std::invalid_argument if all ranks together have one value per channel. `comm` must outlive the
/// graph.
SyncedNorm SyncBatchNorm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                         double epsilon, Communicator& comm);

}  // namespace fastclip
