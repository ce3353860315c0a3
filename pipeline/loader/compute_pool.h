#pragma once

#include <memory>

namespace fastclip {

/// Maximum threads of one kind in one process; a larger number is taken as a mistake.
inline constexpr int kMostThreads = 256;

/// Compute threads in their own TBB arena. Tasks must not block.
class ComputePool {
 public:
  /// 1 to kMostThreads threads; throws std::invalid_argument for any other number.
  explicit ComputePool(int threads);
  /// REQUIRES: every task has run.
  ~ComputePool();
  ComputePool(const ComputePool&) = delete;
  ComputePool& operator=(const ComputePool&) = delete;

  /// Runs `run(argument)` once on one of the threads, roughly in call order. Returns at once.
  void Start(void (*run)(void*) noexcept, void* argument);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fastclip
