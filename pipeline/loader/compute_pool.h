#pragma once

#include <memory>

namespace fastclip {

/// More threads than this, of one kind in one process, are taken for a slip of the pen.
inline constexpr int kMostThreads = 256;

/// Threads for what computes: a TBB arena of its own. Tasks must not block.
class ComputePool {
 public:
  /// 1 to kMostThreads threads; throws std::invalid_argument for any other number.
  explicit ComputePool(int threads);
  /// REQUIRES: every task has run.
  ~ComputePool();
  ComputePool(const ComputePool&) = delete;
  ComputePool& operator=(const ComputePool&) = delete;

  /// Has `run(argument)` called once by one of the threads, roughly in the order of the calls.
  /// Returns at once.
  void Start(void (*run)(void*) noexcept, void* argument);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fastclip
