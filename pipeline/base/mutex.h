#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

// Clang's thread-safety analysis (tests/check_locks.sh runs it); nothing for other compilers.
// https://clang.llvm.org/docs/ThreadSafetyAnalysis.html
#if defined(__clang__)
#define FASTCLIP_THREAD_ATTRIBUTE(attribute) __attribute__((attribute))
#else
#define FASTCLIP_THREAD_ATTRIBUTE(attribute)
#endif
/// A member that is read and written only while `mutex` is held.
#define FASTCLIP_GUARDED_BY(mutex) FASTCLIP_THREAD_ATTRIBUTE(guarded_by(mutex))
/// A function that is called only while the mutex is held.
#define FASTCLIP_REQUIRES(mutex) FASTCLIP_THREAD_ATTRIBUTE(requires_capability(mutex))
/// A function that locks the mutex itself, so it must be called without it.
#define FASTCLIP_EXCLUDES(mutex) FASTCLIP_THREAD_ATTRIBUTE(locks_excluded(mutex))

namespace fastclip {

/// std::mutex with annotations for the analysis. Only a MutexLock locks it.
class FASTCLIP_THREAD_ATTRIBUTE(capability("mutex")) Mutex {
  friend class MutexLock;
  std::mutex mutex_;
};

/// Holds a mutex until the end of its block.
class FASTCLIP_THREAD_ATTRIBUTE(scoped_lockable) MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) FASTCLIP_THREAD_ATTRIBUTE(acquire_capability(mutex))
      : lock_(mutex.mutex_) {}
  ~MutexLock() FASTCLIP_THREAD_ATTRIBUTE(release_capability()) {}
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  friend class Condition;
  std::unique_lock<std::mutex> lock_;
};

/// std::condition_variable. A wait can wake up spuriously: use it in a loop that checks the
/// condition. The analysis can follow a loop, but not a predicate.
class Condition {
 public:
  void Wait(MutexLock& lock) { condition_.wait(lock.lock_); }
  void WaitUntil(MutexLock& lock, std::chrono::steady_clock::time_point end) {
    condition_.wait_until(lock.lock_, end);
  }
  void NotifyAll() { condition_.notify_all(); }

 private:
  std::condition_variable condition_;
};

}  // namespace fastclip
