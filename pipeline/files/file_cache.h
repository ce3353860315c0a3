#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "pipeline/base/lru_cache.h"
#include "pipeline/files/random_access_file.h"
#include "pipeline/files/spare_files.h"

namespace fastclip {

/// Keeps the files used last open. Safe from several threads; a file in use outlives its eviction.
class FileCache {
 public:
  /// Keeps `capacity` files open, fewer where the process may not open many.
  explicit FileCache(std::size_t capacity)
      : files_(SpareFiles::Allowance(capacity)),
        spare_(files_.capacity(), [this] { return files_.DropOldest(); }) {}
  /// The open file (OpenFile); nothing where it is gone.
  std::shared_ptr<const RandomAccessFile> Open(const std::string& path);
  /// Opens what has the name now when it is asked for again.
  void Forget(const std::string& path) { files_.Forget(path); }

 private:
  LruCache<std::string, std::shared_ptr<const RandomAccessFile>> files_;
  const SpareFiles spare_;  // of files_
};

}  // namespace fastclip
