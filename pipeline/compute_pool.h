#pragma once

#include <memory>

namespace fastclip {

/// Threads for what computes: a TBB arena of its own. Tasks must not block.
class ComputePool {
 public:
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
