#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "pipeline/files/file.h"

namespace fastclip {

/// A file that appears under its name only when it is complete: it is written to a temporary file
/// in the same folder, synced and renamed, and the folder is synced. Every failure is a
/// std::system_error with the path.
class AtomicFile {
 public:
  /// Creates and locks PATH.HOST.PID.N.tmp. The name keeps processes that write the same file
  /// apart; the lock shows RemoveAbandoned() that the writer is alive.
  explicit AtomicFile(std::string path);
  /// Removes the temporary file unless Commit() was called.
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  /// Sets the file's permissions; the default is those of a new file.
  void SetMode(mode_t mode);
  void Append(std::span<const std::byte> bytes);
  void WriteAt(std::int64_t offset, std::span<const std::byte> bytes);
  /// Bytes appended so far.
  std::int64_t size() const { return size_; }
  /// Syncs and renames. Returns a descriptor that reads what was written.
  UniqueFd Commit();
  /// Renames without syncing, for files that have their own hash and can be rebuilt. After a power
  /// failure the file can be empty or incomplete.
  UniqueFd CommitUnsynced();

 private:
  std::string path_;
  std::string temporary_;
  UniqueFd fd_;
  std::int64_t size_ = 0;
};

/// Ends the name of a complete folder that ReplaceFolder() is replacing.
inline constexpr std::string_view kReplacedFolder = ".old";
/// Syncs a complete folder, renames it to `final` in the same folder, and syncs that. A folder that
/// has the name already becomes FINAL.old and stays for the caller to remove, so that one of both
/// names is complete at any moment. Throws std::system_error with the path.
void ReplaceFolder(const std::string& complete, const std::string& final);

/// Removes temporary files that killed processes of this host left in `folder`, for targets (names
/// without folder) that `ours` accepts. Returns their number. Files that cannot be checked or
/// removed stay. Target names are truncated to 150 bytes.
int RemoveAbandoned(const std::string& folder, const std::function<bool(std::string_view)>& ours);

/// An exclusive lock on a folder, held while the object lives: to read, change and write back a
/// file in it. Waits for the current holder. Does nothing if the file system has no locks.
class FolderLock {
 public:
  explicit FolderLock(const std::string& folder);

 private:
  UniqueFd fd_;
};

}  // namespace fastclip
