#include "pipeline/files/file_cache.h"

#include <utility>

#include "pipeline/files/file_system.h"

namespace fastclip {

std::shared_ptr<const RandomAccessFile> FileCache::Open(const std::string& path) {
  if (const auto found = files_.Find(path)) return *found;
  // Opening may wait for a network: not under the cache's lock.
  auto file = OpenFile(path);
  return file == nullptr ? nullptr : *files_.Put(path, std::move(file));
}

}  // namespace fastclip
