#include "trainer/base/read_only_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace fastclip {
namespace {

[[noreturn]] void FailErrno(const std::string& path, const char* doing) {
  const int error = errno;
  throw std::runtime_error(fmt::format("{}: cannot {}: {}", path, doing, std::strerror(error)));
}

}  // namespace

ReadOnlyFile::ReadOnlyFile(const std::string& path)
    : path_(path), fd_(OpenWithRetries(path, O_RDONLY | O_NONBLOCK)) {
  if (!fd_) FailErrno(path_, "open");
}

std::uint64_t ReadOnlyFile::size() const {
  struct stat status;
  if (fstat(fd_.get(), &status) != 0) FailErrno(path_, "stat");
  if (!S_ISREG(status.st_mode)) throw std::runtime_error(path_ + ": is not a regular file");
  return static_cast<std::uint64_t>(status.st_size);
}

void ReadOnlyFile::Read(void* to, std::uint64_t count, std::uint64_t offset) const {
  char* out = static_cast<char*>(to);
  while (count > 0) {
    const ssize_t n = pread(fd_.get(), out, count, static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) FailErrno(path_, "read");
    if (n == 0) throw std::runtime_error(path_ + ": was truncated while it was read");
    out += n, offset += n, count -= n;
  }
}

}  // namespace fastclip
