#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "pipeline/base/lru_cache.h"
#include "pipeline/files/random_access_file.h"
#include "pipeline/files/spare_files.h"

namespace fastclip {

/// Keeps the most recently used files open. Thread-safe; a file in use outlives its eviction.
class FileCache {
 public:
  /// Keeps `capacity` files open, or fewer if the process's limit is low.
  explicit FileCache(std::size_t capacity)
      : files_(SpareFiles::Allowance(capacity)),
        spare_(files_.capacity(), [this] { return files_.DropOldest(); }) {}
  /// The open file (OpenFile); null if it is missing.
  std::shared_ptr<const RandomAccessFile> Open(const std::string& path);
  /// The next Open() opens the file again.
  void Forget(const std::string& path) { files_.Forget(path); }

 private:
  LruCache<std::string, std::shared_ptr<const RandomAccessFile>> files_;
  const SpareFiles spare_;  // of files_
};

}  // namespace fastclip
