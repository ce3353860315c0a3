#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "comm/communicator.h"
#include "trainer/base/named_tensors.h"

namespace fastclip {

struct ReducerOptions {
  /// Bytes of gradients per all-reduce: small at first, so that the sums start early.
  std::int64_t first_bucket = std::int64_t{1} << 20;
  std::int64_t other_buckets = std::int64_t{25} << 20;
  /// Overlap sums with the backward pass; false only for measurements.
  bool overlap = true;
};

/// Sums gradients and a few scalars over the ranks. Objectives give each rank its share of the
/// global mean, so only a sum is needed, without a factor of the world size.
///
/// With several ranks, gradients are views into flat buckets in backward order. A hook per
/// parameter counts; full buckets are summed, in the same order on every rank, while backward
/// computes the next. With one rank there are no buckets and no hooks.
class GradientReducer {
 public:
  /// `parameters`: in the order in which Towers::Backward completes their gradients, as far as
  /// known; the order only affects speed.
  GradientReducer(NamedTensors parameters, Communicator& comm, const ReducerOptions& options = {});
  ~GradientReducer();
  GradientReducer(const GradientReducer&) = delete;
  GradientReducer& operator=(const GradientReducer&) = delete;

  /// The sums of one step. Only one at a time; the reducer must outlive it.
  class Pass {
   public:
    Pass(Pass&&) = default;
    /// Call before the backward pass of the last micro-batch: the next gradient of each parameter
    /// is its last of this step.
    void BeginLast();
    /// Adds a 0-d tensor to sum over the ranks; returns its index in the sums.
    std::int64_t Add(const at::Tensor& scalar);
    /// Ends the pass: work enqueued from now on sees the sums of the gradients. Returns the sums
    /// of the added scalars: float64, [added]. Parameters without a gradient count as zero on this
    /// rank. Throws std::logic_error if BeginLast() was not called.
    at::Tensor Finish() &&;

   private:
    friend class GradientReducer;
    explicit Pass(GradientReducer& reducer) : reducer_(reducer) {}

    GradientReducer& reducer_;
    std::vector<at::Tensor> scalars_;
    bool last_ = false;
  };

  /// Starts a step and drops the gradients of the last one.
  [[nodiscard]] Pass Begin();
  /// Bytes of gradients summed per step; 0 with one rank. Scalars add about 50 bytes.
  std::int64_t bytes() const;

 private:
  struct Buckets;
  at::Tensor Finish(const std::vector<at::Tensor>& scalars);

  const NamedTensors parameters_;
  Communicator& comm_;
  std::unique_ptr<Buckets> buckets_;  // none with one rank
};

}  // namespace fastclip
