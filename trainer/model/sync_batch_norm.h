#pragma once

#include <ATen/core/Tensor.h>

#include "comm/communicator.h"

namespace fastclip {

struct SyncedNorm {
  at::Tensor y;         ///< of x's shape and type
  at::Tensor mean;      ///< [channels], over the rows of all ranks
  at::Tensor variance;  ///< [channels], without bias (n − 1)
};

/// Batch normalisation of x [b, channels, h, w] over the rows and places of all ranks, which may
/// hold unlike numbers of rows: each counts by them. Two small collectives: of 2·channels + 1
/// numbers a rank here, of 2·channels in the backward pass. Gradients of weight and bias are this
/// rank's share, to be summed by whoever sums the others. Statistics are float64. Throws
/// std::invalid_argument where all ranks together have one value a channel. `comm` must outlive
/// the graph.
SyncedNorm SyncBatchNorm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                         double epsilon, Communicator& comm);

}  // namespace fastclip
