#include "pipeline/files/file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "pipeline/files/local_file.h"
#include "pipeline/files/retries.h"
#include "pipeline/files/spare_files.h"

namespace fastclip {
namespace {

[[noreturn]] void Fail(int error, const std::string& what) {
  throw std::system_error(error, std::generic_category(), what);
}

}  // namespace

UniqueFd& UniqueFd::operator=(UniqueFd&& other) noexcept {
  UniqueFd old(std::exchange(fd_, other.Release()));
  return *this;
}

UniqueFd::~UniqueFd() {
  if (fd_ >= 0) close(fd_);
}

int UniqueFd::Release() { return std::exchange(fd_, -1); }

UniqueFd OpenWithRetries(const std::string& path, int flags) {
  Retries retries;
  for (;;) {
    UniqueFd fd(open(path.c_str(), flags | O_CLOEXEC, 0666));
    if (fd) return fd;
    const int error = errno;
    const bool none_left = error == EMFILE || error == ENFILE;
    if (none_left && SpareFiles::CloseOne()) continue;
    if (none_left ? retries.MayTryAgain() : retries.MayTryAgain(error)) continue;
    errno = error;
    return UniqueFd();
  }
}

UniqueFd OpenToRead(const std::string& path) {
  if (path.find('\0') != std::string::npos) return UniqueFd();
  // A pipe of that name must not make us wait for its writer.
  UniqueFd fd = OpenWithRetries(path, O_RDONLY | O_NONBLOCK);
  if (!fd) {
    if (errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG || errno == ELOOP ||
        errno == ENXIO) {
      return UniqueFd();
    }
    Fail(errno, path);
  }
  struct stat status;
  if (fstat(fd.get(), &status) != 0) Fail(errno, path);
  return S_ISREG(status.st_mode) ? std::move(fd) : UniqueFd();
}

FileStamp StampOf(const struct stat& status) {
  const std::uint64_t ns = static_cast<std::uint64_t>(status.st_mtim.tv_sec) * 1'000'000'000 +
                           static_cast<std::uint64_t>(status.st_mtim.tv_nsec);
  return {status.st_size, static_cast<std::int64_t>(ns)};
}

std::size_t ReadAt(int fd, std::int64_t offset, std::span<std::byte> out, const std::string& path,
                   const std::stop_token& stop) {
  return DescriptorFile(fd, path).Read(offset, out, stop);
}

void WriteAt(int fd, std::int64_t offset, std::span<const std::byte> bytes,
             const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t put = pwrite(fd, bytes.data(), bytes.size(), offset);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) Fail(errno, "writing " + path);
    offset += put;
    bytes = bytes.subspan(static_cast<std::size_t>(put));
  }
}

void SyncFolder(const std::string& folder) {
  const UniqueFd fd(
      open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // Some network file systems cannot sync a folder.
  if (fd && fsync(fd.get()) != 0 && errno != EINVAL && errno != EBADF) {
    Fail(errno, "syncing " + folder);
  }
}

}  // namespace fastclip
