#include "trainer/config/core_share.h"

#include <algorithm>
#include <cstdint>
#include <thread>

#include "comm/near_cores.h"
#include "pipeline/loader/compute_pool.h"

namespace fastclip {

RankThreads ShareCores(const CoreShare& share) {
  const int cores = std::max(share.cores / std::max(share.ranks, 1), 1);
  RankThreads threads{.model = share.model, .decoders = share.decoders};
  if (threads.model == 0) threads.model = share.on_gpu ? std::min(cores / 4, 4) : cores;
  if (threads.decoders == 0) {
    threads.decoders = share.on_gpu ? cores - (share.ranks > 1 ? 2 : 1)
                                    : std::max(cores / 4, cores - threads.model);
  }
  return {.model = std::clamp(threads.model, 1, kMostThreads),
          .decoders = std::clamp(threads.decoders, 1, kMostThreads)};
}

int RanksOnCores(int allowed, int online, int ranks) {
  return std::int64_t{allowed} * ranks <= online ? 1 : ranks;
}

int UsableCores() {
  const auto allowed = static_cast<int>(AllowedCores().size());
  return allowed > 0 ? allowed : std::max(static_cast<int>(std::thread::hardware_concurrency()), 1);
}

}  // namespace fastclip
