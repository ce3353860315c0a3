#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <stop_token>
#include <string>

#include "pipeline/files/random_access_file.h"

namespace fastclip {

/// Owns a file descriptor; -1 is none.
class UniqueFd {
 public:
  explicit UniqueFd(int fd = -1) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.Release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept;
  ~UniqueFd();
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int Release();

 private:
  int fd_;
};

/// open(2) with O_CLOEXEC; empty with errno set if it fails. Transient failures (EIO, ESTALE,
/// timeouts, no descriptor left) are tried four times over one second. If no descriptor is left, a
/// file of SpareFiles is closed.
UniqueFd OpenWithRetries(const std::string& path, int flags);

/// Opens a regular file to read. Empty if there cannot be one (no such file, not a regular file,
/// name too long); throws std::system_error with the path for any other failure of
/// OpenWithRetries().
UniqueFd OpenToRead(const std::string& path);

FileStamp StampOf(const struct stat& status);

/// RandomAccessFile::Read() of a descriptor; `path` names it in messages.
std::size_t ReadAt(int fd, std::int64_t offset, std::span<std::byte> out, const std::string& path,
                   const std::stop_token& stop = {});

/// Writes all of `bytes` at `offset`; throws std::system_error with the path.
void WriteAt(int fd, std::int64_t offset, std::span<const std::byte> bytes,
             const std::string& path);

/// Syncs a folder, so that a rename in it survives a power failure. Throws std::system_error.
void SyncFolder(const std::string& folder);

}  // namespace fastclip
