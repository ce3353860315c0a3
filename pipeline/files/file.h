#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <stop_token>
#include <string>

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

/// open(2) with O_CLOEXEC; empty, and errno tells why, where it fails. Failures that may pass (EIO,
/// ESTALE, timeouts, no descriptor left) are tried four times over one second. A process without a
/// descriptor closes a file of SpareFiles.
UniqueFd OpenWithRetries(const std::string& path, int flags);

struct FileStamp {
  std::int64_t size = 0;
  std::int64_t mtime_ns = 0;  ///< since 1970, modulo 2^64: after 2262 no time, but still a stamp
  bool operator==(const FileStamp&) const = default;
};

/// Opens a regular file to read. Empty where nothing of that name can be (no such file, not a
/// regular file, a name too long); throws std::system_error that names the path for anything else
/// that OpenWithRetries() fails of.
UniqueFd OpenToRead(const std::string& path);

FileStamp StampOf(const struct stat& status);

/// Size and time of an open file; throws std::system_error.
FileStamp StampOf(int fd, const std::string& path);

/// As StampOf, for one who remembers by it what is read from here on: what is written from here on
/// has another stamp. The time of a file is that of its filesystem's clock, which ticks; where the
/// last write fell into the tick that is now, this waits until that is over (20 ms; 2 s where times
/// are whole seconds).
FileStamp SettledStampOf(int fd, const std::string& path);

/// Reads up to out.size() bytes at `offset`; fewer only where the file ends. Failures that may pass
/// (EIO, ESTALE, timeouts) are tried four times over one second; then it throws std::runtime_error
/// that names path and offset, as it does if `stop` is asked for meanwhile.
std::size_t ReadAt(int fd, std::int64_t offset, std::span<std::byte> out, const std::string& path,
                   const std::stop_token& stop = {});

/// Tells the kernel that bytes [begin, end) will be read soon: it fills its cache with them in
/// large requests meanwhile. A hint: what comes of it shows in no result.
void AdviseToRead(int fd, std::int64_t begin, std::int64_t end);

/// Writes all of `bytes` at `offset`; throws std::system_error that names the path.
void WriteAt(int fd, std::int64_t offset, std::span<const std::byte> bytes,
             const std::string& path);

/// Syncs a folder, so that a rename in it outlives a power cut. Throws std::system_error.
void SyncFolder(const std::string& folder);

}  // namespace fastclip
