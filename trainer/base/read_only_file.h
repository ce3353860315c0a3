#pragma once

#include <cstdint>
#include <string>

#include "pipeline/files/file.h"

namespace fastclip {

/// A regular file that is read at offsets: whatever is asked for as a whole, or an error.
/// All methods throw std::runtime_error with the file and the cause. Thread-safe.
class ReadOnlyFile {
 public:
  explicit ReadOnlyFile(const std::string& path);

  /// Throws also if it is not a regular file.
  std::uint64_t size() const;
  void Read(void* to, std::uint64_t count, std::uint64_t offset) const;

 private:
  std::string path_;
  UniqueFd fd_;
};

}  // namespace fastclip
