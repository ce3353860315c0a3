#pragma once

#include <optional>
#include <string>
#include <vector>

#include "pipeline/base/mutex.h"
#include "trainer/base/file_io.h"

namespace fastclip {

/// RUN/console.log: what a run printed, each line with its date and time (UTC). Every start appends
/// to it. Thread-safe.
class ConsoleLog {
 public:
  /// Appends a line; keeps it until Open() where that was not called yet. Does not throw: where the
  /// file cannot be written, this is said once on stderr and the run continues.
  void Add(const std::string& line);
  /// Makes or continues the file. Throws std::runtime_error naming the file and the cause.
  void Open(const std::string& path);

 private:
  void Write(const std::string& text) FASTCLIP_REQUIRES(mutex_);

  Mutex mutex_;
  std::optional<AppendFile> file_ FASTCLIP_GUARDED_BY(mutex_);
  std::string early_ FASTCLIP_GUARDED_BY(mutex_);  // lines from before Open()
  bool failed_ FASTCLIP_GUARDED_BY(mutex_) = false;
};

}  // namespace fastclip
