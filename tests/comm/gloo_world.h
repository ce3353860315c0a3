#pragma once

#include <cstdlib>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "comm/c10d_communicator.h"

namespace fastclip {

/// Runs `body` once a rank, each in a thread of its own, over Gloo on the loopback interface;
/// throws what the first of them threw.
inline void RunGlooRanks(int world_size, const std::function<void(Communicator&)>& body,
                         std::chrono::milliseconds timeout = std::chrono::seconds(20)) {
  setenv("GLOO_SOCKET_IFNAME", "lo", 1);
  const auto store = MakeLocalStore();
  std::mutex mutex;
  std::exception_ptr first;
  {
    std::vector<std::jthread> threads;
    for (int rank = 0; rank < world_size; ++rank) {
      threads.emplace_back([&, rank] {
        try {
          const auto comm = ConnectRanks(
              *store, {.prefix = "test", .rank = rank, .world_size = world_size, .timeout = timeout});
          body(*comm);
        } catch (...) {
          const std::lock_guard lock(mutex);
          if (!first) first = std::current_exception();
        }
      });
    }
  }
  if (first) std::rethrow_exception(first);
}

}  // namespace fastclip
