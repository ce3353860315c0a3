#include "pipeline/file_cache.h"

namespace fastclip {

std::shared_ptr<const UniqueFd> FileCache::Open(const std::string& path) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = by_path_.find(path); found != by_path_.end()) {
      by_use_.splice(by_use_.begin(), by_use_, found->second);
      return found->second->second;
    }
  }
  // Opening may wait for a network: not under the lock. Two threads may then open one file; the
  // first to come back is kept.
  UniqueFd fd = OpenToRead(path);
  if (!fd) return nullptr;
  auto opened = std::make_shared<const UniqueFd>(std::move(fd));
  const std::lock_guard lock(mutex_);
  if (const auto found = by_path_.find(path); found != by_path_.end()) return found->second->second;
  by_use_.emplace_front(path, opened);
  by_path_.emplace(path, by_use_.begin());
  if (by_use_.size() > capacity_) {
    by_path_.erase(by_use_.back().first);
    by_use_.pop_back();
  }
  return opened;
}

}  // namespace fastclip
