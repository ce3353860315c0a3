#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>

#include "pipeline/file.h"

namespace fastclip {

/// Keeps the files used last open. Safe from several threads; a file in use outlives its eviction.
class FileCache {
 public:
  explicit FileCache(std::size_t capacity) : capacity_(capacity) {}
  /// The open file; nothing where it is gone.
  std::shared_ptr<const UniqueFd> Open(const std::string& path);

 private:
  using Entry = std::pair<std::string, std::shared_ptr<const UniqueFd>>;
  const std::size_t capacity_;
  std::mutex mutex_;
  std::list<Entry> by_use_;  // the latest first
  std::unordered_map<std::string, std::list<Entry>::iterator> by_path_;
};

}  // namespace fastclip
