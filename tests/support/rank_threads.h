#pragma once

#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace fastclip {

/// Runs `body` once a rank, each in a thread of its own; tells `on_failure` of each that throws,
/// and in the end throws what the first of them threw.
inline void RunRankThreads(int world_size, const std::function<void(int)>& body,
                           const std::function<void(int, const std::exception&)>& on_failure = {}) {
  std::mutex mutex;
  std::exception_ptr first;
  {
    std::vector<std::jthread> threads;
    for (int rank = 0; rank < world_size; ++rank) {
      threads.emplace_back([&, rank] {
        try {
          body(rank);
        } catch (const std::exception& error) {
          {
            const std::lock_guard lock(mutex);
            if (!first) first = std::current_exception();
          }
          if (on_failure) on_failure(rank, error);
        }
      });
    }
  }
  if (first) std::rethrow_exception(first);
}

}  // namespace fastclip
