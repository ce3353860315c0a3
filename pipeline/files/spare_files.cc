#include "pipeline/files/spare_files.h"

#include <sys/resource.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "pipeline/base/mutex.h"

namespace fastclip {
namespace {

/// All caches of the process: descriptors are the process's, so who may close some is its affair
/// too.
struct Registry {
  Mutex mutex;
  std::vector<const std::function<bool()>*> caches FASTCLIP_GUARDED_BY(mutex);
  std::size_t next FASTCLIP_GUARDED_BY(mutex) = 0;   // they take turns
  std::size_t files FASTCLIP_GUARDED_BY(mutex) = 0;  // that they may keep, all together
};

Registry& TheRegistry() {
  static Registry registry;
  return registry;
}

}  // namespace

SpareFiles::SpareFiles(std::size_t most, std::function<bool()> close_one)
    : most_(most), close_one_(std::move(close_one)) {
  Registry& registry = TheRegistry();
  const MutexLock lock(registry.mutex);
  registry.caches.push_back(&close_one_);
  registry.files += most_;
}

SpareFiles::~SpareFiles() {
  Registry& registry = TheRegistry();
  const MutexLock lock(registry.mutex);
  std::erase(registry.caches, &close_one_);
  registry.files -= most_;
}

bool SpareFiles::CloseOne() {
  Registry& registry = TheRegistry();
  const MutexLock lock(registry.mutex);
  for (std::size_t i = 0; i < registry.caches.size(); ++i) {
    const auto& close_one = *registry.caches[registry.next++ % registry.caches.size()];
    if (close_one()) return true;
  }
  return false;
}

std::size_t SpareFiles::Allowance(std::size_t most) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return most;
  Registry& registry = TheRegistry();
  const MutexLock lock(registry.mutex);
  const std::size_t half = limit.rlim_cur / 2;
  const std::size_t left = half > registry.files ? half - registry.files : 0;
  return std::clamp<std::size_t>(left / 4, 1, most);  // others will come
}

}  // namespace fastclip
