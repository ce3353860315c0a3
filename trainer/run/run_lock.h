#pragma once

#include <string>

#include "pipeline/files/file.h"

namespace fastclip {

/// A run folder as one process's own, for as long as this lives: two that train in one folder would
/// write over each other's metrics and checkpoints. The kernel drops the lock with the process,
/// however it ends. Where the file system has no locks, nothing is held.
class RunLock {
 public:
  /// Makes the folder if need be and locks RUN/lock. Throws std::runtime_error where the folder
  /// cannot be made, or another process holds it.
  explicit RunLock(const std::string& run_folder);

 private:
  UniqueFd fd_;
};

}  // namespace fastclip
