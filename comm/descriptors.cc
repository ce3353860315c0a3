#include "comm/descriptors.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <limits>
#include <stdexcept>

namespace fastclip {
namespace {

// Shards, tables, logs and a checkpoint's files: below this a run does not get far.
constexpr std::int64_t kForFiles = 64;

}  // namespace

std::int64_t DescriptorsOf(const Launch& launch) {
  if (launch.world_size == 1) return 10;
  // Of each rank: its connection of the mesh, and on rank 0 the two it has to the store.
  const bool serves = launch.rank == 0 && !launch.store_is_served;
  return serves ? 23 + 3 * std::int64_t{launch.world_size} : 10 + std::int64_t{launch.world_size};
}

void CheckDescriptors(const Launch& launch, std::int64_t limit) {
  const std::int64_t needed = DescriptorsOf(launch) + kForFiles;
  if (limit >= needed) return;
  throw std::runtime_error(fmt::format(
      "rank {} of {} needs about {} open files ({} for connections, {} for data), but this process "
      "is limited to {}; raise the limit with ulimit -n {} before the start (see ulimit -Hn for "
      "the maximum; in Docker: docker run --ulimit nofile={})",
      launch.rank, launch.world_size, needed, needed - kForFiles, kForFiles, limit, needed,
      needed));
}

std::int64_t DescriptorLimit() {
  rlimit limit{};
  constexpr auto kMost = std::numeric_limits<std::int64_t>::max();
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return kMost;
  return static_cast<std::int64_t>(std::min<rlim_t>(limit.rlim_cur, kMost));
}

}  // namespace fastclip
