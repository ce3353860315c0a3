#pragma once

#include <string>

#include "pipeline/files/file.h"

namespace fastclip {

/// Locks a run folder for this process: two processes in one folder would overwrite each other's
/// metrics and checkpoints. The kernel releases the lock when the process ends. No effect on file
/// systems without locks.
class RunLock {
 public:
  /// Creates the folder if needed and locks RUN/lock. Throws std::runtime_error if the folder
  /// cannot be created or another process holds the lock.
  explicit RunLock(const std::string& run_folder);
  /// Removes a folder that it created if nothing but the lock was written: a start that failed. If
  /// a rank's failure ends the process at once, the folder stays.
  ~RunLock();
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;

 private:
  bool Lock();
  void RemoveIfEmpty();

  std::string folder_;
  UniqueFd fd_;
  bool made_folder_ = false;
};

}  // namespace fastclip
