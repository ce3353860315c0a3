#pragma once

#include <cstdlib>
#include <functional>

#include "comm/c10d_communicator.h"
#include "tests/support/rank_threads.h"

namespace fastclip {

/// Runs `body` once a rank, each in a thread of its own, over Gloo on the loopback interface;
/// throws what the first of them threw.
inline void RunGlooRanks(int world_size, const std::function<void(Communicator&)>& body,
                         std::chrono::milliseconds timeout = std::chrono::seconds(20)) {
  setenv("GLOO_SOCKET_IFNAME", "lo", 1);
  const auto store = MakeLocalStore();
  RunRankThreads(world_size, [&](int rank) {
    const auto comm = ConnectRanks(
        *store, {.prefix = "test", .rank = rank, .world_size = world_size, .timeout = timeout});
    body(*comm);
  });
}

}  // namespace fastclip
