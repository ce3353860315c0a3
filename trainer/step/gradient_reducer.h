#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "comm/communicator.h"
#include "trainer/base/named_tensors.h"

namespace fastclip {

struct ReducerOptions {
  /// Bytes of gradients that are summed in one call: few first, so that the sums begin early.
  std::int64_t first_bucket = std::int64_t{1} << 20;
  std::int64_t other_buckets = std::int64_t{25} << 20;
  /// Sums begin while backward runs; false only to measure what that saves.
  bool overlap = true;
};

/// Sums gradients, and scalars that ride along, over the ranks. Objectives give each rank its share
/// of the global mean, so a sum is all there is: no factor of the world size anywhere.
///
/// With several ranks the gradients are views into flat buckets, in the order in which backward
/// reaches them. A hook of each parameter counts; full buckets are summed, in the same order on
/// every rank, while backward computes the next. In a world of one there are neither buckets nor
/// hooks.
class GradientReducer {
 public:
  /// `parameters`: in the order in which Towers::Backward completes their gradients, as far as that
  /// is known: it decides about speed alone.
  GradientReducer(NamedTensors parameters, Communicator& comm, const ReducerOptions& options = {});
  ~GradientReducer();
  GradientReducer(const GradientReducer&) = delete;
  GradientReducer& operator=(const GradientReducer&) = delete;

  /// What the ranks have summed, in the order of Pass::Add().
  class Sums {
   public:
    double operator[](std::size_t place) const { return host_[place]; }
    /// The same on the device of the scalars, 0-d float64.
    at::Tensor Tensor(std::size_t place) const { return tensor_[static_cast<std::int64_t>(place)]; }

   private:
    friend class GradientReducer;
    at::Tensor tensor_;
    std::vector<double> host_;
  };

  /// The sums of one step. One at a time; a reducer outlives it.
  class Pass {
   public:
    /// The next gradient of each parameter is its last of this step: to be called before backward
    /// of the last micro-batch.
    void BeginLast();
    /// A 0-d tensor to sum over the ranks; returns its place in the sums.
    std::size_t Add(const at::Tensor& scalar);
    /// Waits for all sums, and ends the pass. Parameters without gradient count as zero on this
    /// rank. Throws std::logic_error where BeginLast() was not called.
    Sums Finish() &&;

   private:
    friend class GradientReducer;
    explicit Pass(GradientReducer& reducer) : reducer_(reducer) {}

    GradientReducer& reducer_;
    std::vector<at::Tensor> scalars_;
    bool last_ = false;
  };

  /// Drops the gradients of the last step.
  [[nodiscard]] Pass Begin();
  /// Bytes that a step sums: gradients, 0 in a world of one. The scalars are some 50 bytes more.
  std::int64_t bytes() const;

 private:
  struct Buckets;
  Sums Finish(const std::vector<at::Tensor>& scalars);

  const NamedTensors parameters_;
  Communicator& comm_;
  std::unique_ptr<Buckets> buckets_;  // none in a world of one
};

}  // namespace fastclip
