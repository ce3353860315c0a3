#include "pipeline/files/file_cache.h"

#include <utility>

namespace fastclip {

std::shared_ptr<const UniqueFd> FileCache::Open(const std::string& path) {
  if (auto found = files_.Find(path)) return found;
  // Opening may wait for a network: not under the cache's lock.
  UniqueFd fd = OpenToRead(path);
  return fd ? files_.Put(path, std::move(fd)) : nullptr;
}

}  // namespace fastclip
