#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace fastclip {

/// Calls make(0), …, make(tasks − 1) on `threads` threads, which may block, and take(result) in
/// that order, on one thread at a time. At most 4 results a thread wait for their turn. The first
/// exception ends it and is thrown again; all threads have ended when this returns.
template <class Make, class Take>
void ForEachInOrder(std::int64_t tasks, int threads, const Make& make, const Take& take) {
  using Result = decltype(make(std::int64_t{}));
  std::mutex mutex;
  std::condition_variable moved_on;
  std::map<std::int64_t, Result> ready;
  std::int64_t next = 0, due = 0;
  bool taking = false;
  std::exception_ptr failure;

  const auto work = [&] {
    std::unique_lock lock(mutex);
    try {
      for (;;) {
        moved_on.wait(lock, [&] { return failure || next >= tasks || next < due + 4 * threads; });
        if (failure || next >= tasks) return;
        const std::int64_t task = next++;
        lock.unlock();
        Result made = make(task);
        lock.lock();
        ready.emplace(task, std::move(made));
        if (taking) continue;
        taking = true;  // whoever finds the next one due takes all that are
        while (!failure && !ready.empty() && ready.begin()->first == due) {
          auto node = ready.extract(ready.begin());
          lock.unlock();
          take(node.mapped());
          lock.lock();
          ++due;
          moved_on.notify_all();
        }
        taking = false;
      }
    } catch (...) {
      if (!lock.owns_lock()) lock.lock();
      if (!failure) failure = std::current_exception();
      next = tasks;
      moved_on.notify_all();
    }
  };
  {
    std::vector<std::jthread> workers;
    for (int i = 1; i < threads; ++i) workers.emplace_back(work);
    work();
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace fastclip
