#pragma once

#include <cstdint>
#include <exception>
#include <map>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "pipeline/base/mutex.h"

namespace fastclip {

/// Tasks 0, 1, … run on several threads; their results are taken in that order, by one thread at a
/// time. The thread that delivers the next due result takes all that are due. Thread-safe.
template <class Result>
class InOrderQueue {
 public:
  /// At most `ahead` tasks are started before the result of the first of them is taken.
  InOrderQueue(std::int64_t tasks, std::int64_t ahead) : tasks_(tasks), ahead_(ahead) {}

  /// The next task. Waits for its turn; nothing if none is left or one failed.
  std::optional<std::int64_t> Begin() {
    MutexLock lock(mutex_);
    while (!failure_ && next_ < tasks_ && next_ >= due_ + ahead_) moved_on_.Wait(lock);
    if (failure_ || next_ >= tasks_) return std::nullopt;
    return next_++;
  }

  /// Returns whether the caller must take results now, until TakeDue() has none.
  bool Put(std::int64_t task, Result made) {
    const MutexLock lock(mutex_);
    ready_.emplace(task, std::move(made));
    return !std::exchange(taking_, true);
  }

  /// The due result, for the taking thread; nothing if it is not ready.
  std::optional<Result> TakeDue() {
    const MutexLock lock(mutex_);
    if (failure_ || ready_.empty() || ready_.begin()->first != due_) {
      taking_ = false;
      return std::nullopt;
    }
    return std::move(ready_.extract(ready_.begin()).mapped());
  }
  /// The taken result was processed.
  void MoveOn() {
    const MutexLock lock(mutex_);
    ++due_;
    moved_on_.NotifyAll();
  }

  /// Ends the work; the first error is kept.
  void Fail(std::exception_ptr error) {
    const MutexLock lock(mutex_);
    if (!failure_) failure_ = std::move(error);
    moved_on_.NotifyAll();
  }
  std::exception_ptr failure() {
    const MutexLock lock(mutex_);
    return failure_;
  }

 private:
  const std::int64_t tasks_;
  const std::int64_t ahead_;
  Mutex mutex_;
  Condition moved_on_;
  std::map<std::int64_t, Result> ready_ FASTCLIP_GUARDED_BY(mutex_);
  std::int64_t next_ FASTCLIP_GUARDED_BY(mutex_) = 0;
  std::int64_t due_ FASTCLIP_GUARDED_BY(mutex_) = 0;
  bool taking_ FASTCLIP_GUARDED_BY(mutex_) = false;
  std::exception_ptr failure_ FASTCLIP_GUARDED_BY(mutex_);
};

/// Calls make(0), …, make(tasks − 1) on `threads` threads, which may block, and take(result) in
/// that order, on one thread at a time. At most 4 results per thread wait for their turn. The first
/// exception stops the work and is rethrown. All threads have ended on return.
template <class Make, class Take>
void ForEachInOrder(std::int64_t tasks, int threads, const Make& make, const Take& take) {
  InOrderQueue<decltype(make(std::int64_t{}))> queue(tasks, std::int64_t{4} * threads);
  const auto work = [&] {
    try {
      while (const auto task = queue.Begin()) {
        if (!queue.Put(*task, make(*task))) continue;
        while (auto due = queue.TakeDue()) {
          take(*due);
          queue.MoveOn();
        }
      }
    } catch (...) {
      queue.Fail(std::current_exception());
    }
  };
  {
    std::vector<std::jthread> workers;
    for (int i = 1; i < threads; ++i) workers.emplace_back(work);
    work();
  }
  if (const auto failure = queue.failure()) std::rethrow_exception(failure);
}

}  // namespace fastclip
