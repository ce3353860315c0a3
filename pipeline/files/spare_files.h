#pragma once

#include <cstddef>
#include <functional>

namespace fastclip {

/// A cache of open files that can be opened again at any time, known to the whole process: where
/// files run out, any of them may be asked to close one.
class SpareFiles {
 public:
  /// Of a cache that keeps `most` files at most. `close_one` closes a file, or returns false where
  /// the cache is empty. It may be called from any thread until the destructor returns, and must
  /// open none.
  SpareFiles(std::size_t most, std::function<bool()> close_one);
  ~SpareFiles();
  SpareFiles(const SpareFiles&) = delete;
  SpareFiles& operator=(const SpareFiles&) = delete;

  /// Closes a file of one of the caches; false where all are empty. A file that is in use is closed
  /// when that ends.
  static bool CloseOne();
  /// How many files a cache that would like `most` may keep beside those that are there, so that
  /// half of what the process may open (RLIMIT_NOFILE) is left for sockets, logs and checkpoints.
  /// At least 1: where there are more caches than that, more than half.
  static std::size_t Allowance(std::size_t most);

 private:
  const std::size_t most_;
  const std::function<bool()> close_one_;
};

}  // namespace fastclip
