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

/// A file that appears under its name only when it is complete: written aside in the same folder,
/// synced, renamed, its folder synced. Every failure is a std::system_error that names the path.
class AtomicFile {
 public:
  /// Creates PATH.HOST.PID.N.tmp, so that processes that write the same file do not meet, and locks
  /// it, so that RemoveAbandoned() knows that its writer lives.
  explicit AtomicFile(std::string path);
  /// Removes the temporary file unless Commit() was reached.
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  /// The permissions that the file will have; by default those of a new file.
  void SetMode(mode_t mode);
  void Append(std::span<const std::byte> bytes);
  void WriteAt(std::int64_t offset, std::span<const std::byte> bytes);
  /// Bytes appended so far.
  std::int64_t size() const { return size_; }
  /// Syncs and renames. The file stays open: the descriptor it returns reads what was written.
  UniqueFd Commit();
  /// Only renames: for what carries its own hash and can be made again. After a power cut the name
  /// may stand for a file that is empty or torn.
  UniqueFd CommitUnsynced();

 private:
  std::string path_;
  std::string temporary_;
  UniqueFd fd_;
  std::int64_t size_ = 0;
};

/// Removes the temporary files that killed AtomicFiles of this host left in `folder`, for the
/// targets that `ours` names (without their folder). Returns how many. What cannot be looked at or
/// removed is left; names over 150 bytes stand there cut.
int RemoveAbandoned(const std::string& folder, const std::function<bool(std::string_view)>& ours);

/// Keeps other processes from the same in a folder as long as it lives: to read a file in it,
/// change it and write it back. Waits for the holder. Where the file system has no locks, nothing
/// is held.
class FolderLock {
 public:
  explicit FolderLock(const std::string& folder);

 private:
  UniqueFd fd_;
};

}  // namespace fastclip
