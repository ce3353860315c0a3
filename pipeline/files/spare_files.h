#pragma once

#include <cstddef>
#include <functional>

namespace fastclip {

/// Registers a cache of reopenable files with the process: when descriptors run out, any such cache
/// can be asked to close one.
class SpareFiles {
 public:
  /// For a cache of at most `most` files. `close_one` closes a file, or returns false if the cache
  /// is empty. It can be called from any thread until the destructor returns, and must not open
  /// files.
  SpareFiles(std::size_t most, std::function<bool()> close_one);
  ~SpareFiles();
  SpareFiles(const SpareFiles&) = delete;
  SpareFiles& operator=(const SpareFiles&) = delete;

  /// Closes a file of one of the caches; false if all are empty. A file in use is closed when it is
  /// released.
  static bool CloseOne();
  /// How many files a new cache that needs `most` can keep, so that all caches use at most half of
  /// RLIMIT_NOFILE and the rest is left for sockets, logs and checkpoints. At least 1, so very many
  /// caches can use more than half.
  static std::size_t Allowance(std::size_t most);

 private:
  const std::size_t most_;
  const std::function<bool()> close_one_;
};

}  // namespace fastclip
