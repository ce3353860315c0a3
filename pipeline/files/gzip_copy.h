#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "pipeline/base/mutex.h"
#include "pipeline/files/random_access_file.h"

namespace fastclip {

/// Inflated copies of gzip files, so that they can be read at any place. A copy is a file without a
/// name: it is gone with its last reader, also after a kill. Thread-safe.
class GzipCopy {
 public:
  /// A file that inflates to more than this many times its size, and kSmall, is taken for a bomb.
  static constexpr std::int64_t kMostRatio = 200;
  static constexpr std::int64_t kSmall = 64 << 20;

  /// Copies lie in the first of `folders` that has room ("" is the working folder), else where
  /// temporary files do.
  explicit GzipCopy(std::vector<std::string> folders) : folders_(std::move(folders)) {}

  /// What an open file inflates to, under the same name. The last copy is kept and given again for
  /// the same file. Throws std::runtime_error: not gzip, cut short, damaged, too large, no room.
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
