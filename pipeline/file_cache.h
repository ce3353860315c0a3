#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "pipeline/file.h"
#include "pipeline/lru_cache.h"

namespace fastclip {

/// Keeps the files used last open. Safe from several threads; a file in use outlives its eviction.
class FileCache {
 public:
  explicit FileCache(std::size_t capacity) : files_(capacity) {}
  /// The open file; nothing where it is gone.
  std::shared_ptr<const UniqueFd> Open(const std::string& path);
  /// Opens what has the name now when it is asked for again.
  void Forget(const std::string& path) { files_.Forget(path); }

 private:
  LruCache<std::string, UniqueFd> files_;
};

}  // namespace fastclip
