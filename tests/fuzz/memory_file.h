#pragma once

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

namespace fastclip {

/// A file in memory that holds some bytes, and a path under which this process finds it.
class MemoryFile {
 public:
  MemoryFile(const std::uint8_t* bytes, std::size_t size) : fd_(memfd_create("fuzz", 0)) {
    if (fd_ < 0 || pwrite(fd_, bytes, size, 0) != static_cast<ssize_t>(size)) std::abort();
    // Long ago: what was just written is waited for before it is indexed (SettledStamp).
    const timespec long_ago[2] = {{.tv_sec = 1, .tv_nsec = 1}, {.tv_sec = 1, .tv_nsec = 1}};
    if (futimens(fd_, long_ago) != 0) std::abort();
  }
  ~MemoryFile() { close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  int fd() const { return fd_; }
  std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  int fd_;
};

}  // namespace fastclip
