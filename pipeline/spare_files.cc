#include "pipeline/spare_files.h"

#include <sys/resource.h>

#include <algorithm>
#include <mutex>
#include <utility>
#include <vector>

namespace fastclip {
namespace {

/// All caches of the process: descriptors are the process's, so who may close some is its affair
/// too.
struct Registry {
  std::mutex mutex;
  std::vector<const std::function<bool()>*> caches;
  std::size_t next = 0;  // they take turns
};

Registry& TheRegistry() {
  static Registry registry;
  return registry;
}

}  // namespace

SpareFiles::SpareFiles(std::function<bool()> close_one) : close_one_(std::move(close_one)) {
  Registry& registry = TheRegistry();
  const std::lock_guard lock(registry.mutex);
  registry.caches.push_back(&close_one_);
}

SpareFiles::~SpareFiles() {
  Registry& registry = TheRegistry();
  const std::lock_guard lock(registry.mutex);
  std::erase(registry.caches, &close_one_);
}

bool SpareFiles::CloseOne() {
  Registry& registry = TheRegistry();
  const std::lock_guard lock(registry.mutex);
  for (std::size_t i = 0; i < registry.caches.size(); ++i) {
    const auto& close_one = *registry.caches[registry.next++ % registry.caches.size()];
    if (close_one()) return true;
  }
  return false;
}

std::size_t SpareFiles::Allowance(std::size_t most) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return most;
  return std::clamp<std::size_t>(limit.rlim_cur / 8, 1, most);
}

}  // namespace fastclip
