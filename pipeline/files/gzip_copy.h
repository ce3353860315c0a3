#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "pipeline/base/mutex.h"
#include "pipeline/files/random_access_file.h"

namespace fastclip {

/// Decompressed copies of gzip files, for random access. A copy is an unnamed file, so it vanishes
/// with its last reader, also after a kill. Thread-safe.
class GzipCopy {
 public:
  /// A file that decompresses to more than kSmall plus this many times its size is refused as a zip
  /// bomb.
  static constexpr std::int64_t kMostRatio = 200;
  static constexpr std::int64_t kSmall = 64 << 20;

  /// Copies are written to the first of `folders` that has space ("" is the working folder), else
  /// to the folder for temporary files.
  explicit GzipCopy(std::vector<std::string> folders) : folders_(std::move(folders)) {}

  /// The decompressed content of an open file, under the same name. The last copy is kept and
  /// reused for the same file. Throws std::runtime_error if it is not gzip, truncated, damaged or
  /// too large, or if there is no space.
  std::shared_ptr<const RandomAccessFile> Of(const RandomAccessFile& file);

 private:
  std::shared_ptr<const RandomAccessFile> Make(const RandomAccessFile& file) const;

  const std::vector<std::string> folders_;
  Mutex mutex_;
  std::shared_ptr<const RandomAccessFile> copy_ FASTCLIP_GUARDED_BY(mutex_);
  FileStamp stamp_ FASTCLIP_GUARDED_BY(mutex_);  // of what copy_ was made of
};

/// Whether the name ends in .gz, in any case.
bool IsGzipName(const std::string& path);

}  // namespace fastclip
