#pragma once

#include <ATen/core/Tensor.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>

namespace fastclip {

/// A collective in progress. After Wait(), work enqueued next sees its result; its tensors must
/// live until then.
class Pending {
 public:
  virtual ~Pending() = default;
  virtual void Wait() = 0;
};

/// The ranks of a run. Each makes the same calls in the same order; each call throws
/// std::runtime_error after its timeout. Results are valid on the current stream.
class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int world_size() const = 0;
  /// The rows of all ranks, in rank order: [Σ rows_per_rank, …]. Carries no gradient.
  virtual at::Tensor AllGather(const at::Tensor& rows,
                               std::span<const std::int64_t> rows_per_rank) = 0;
  virtual void AllReduceSum(at::Tensor& values) = 0;
  /// Sum over the ranks; each rank gets an equal slice of the first dimension.
  virtual at::Tensor ReduceScatterSum(const at::Tensor& values) = 0;
  [[nodiscard]] virtual std::unique_ptr<Pending> StartAllReduceSum(at::Tensor values) = 0;
  virtual void Broadcast(at::Tensor& values, int root) = 0;
  virtual void Barrier() = 0;
  /// All calls so far: Wait() returns when they are done, also on a GPU, and throws after the
  /// timeout. Wait before the host reads a result, which would otherwise wait for a lost rank
  /// forever.
  [[nodiscard]] virtual std::unique_ptr<Pending> CallsSoFar();
  /// Sets the timeout of later calls and returns the old one. Every rank must set it at the same
  /// place.
  virtual std::chrono::milliseconds SetTimeout(std::chrono::milliseconds timeout) {
    return timeout;
  }
  /// At the normal end of a run, after a Barrier(): no rank makes a call after it.
  virtual void Shutdown() {}
  /// The step that later calls belong to, for messages when a rank fails.
  virtual void AtStep(std::int64_t) {}
};

/// The world of one: no socket, no copy.
std::unique_ptr<Communicator> WorldOfOne();

}  // namespace fastclip
