#include "pipeline/files/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "pipeline/base/mutex.h"
#include "pipeline/files/spare_files.h"

namespace fastclip {
namespace {

[[noreturn]] void Fail(int error, const std::string& what) {
  throw std::system_error(error, std::generic_category(), what);
}

bool MayPass(int error) {
  return error == EIO || error == ESTALE || error == EAGAIN || error == ETIMEDOUT;
}

bool IsOutOfDescriptors(int error) { return error == EMFILE || error == ENFILE; }

void Pause(std::chrono::nanoseconds time, const std::stop_token& stop) {
  const auto end = std::chrono::steady_clock::now() + time;
  Mutex mutex;
  Condition asked;
  const std::stop_callback wake(stop, [&] {
    { const MutexLock lock(mutex); }
    asked.NotifyAll();
  });
  MutexLock lock(mutex);
  while (!stop.stop_requested() && std::chrono::steady_clock::now() < end) {
    asked.WaitUntil(lock, end);
  }
}

constexpr std::array kPauses = {std::chrono::milliseconds(50), std::chrono::milliseconds(200),
                                std::chrono::milliseconds(750)};

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
  std::size_t failures = 0;
  for (;;) {
    UniqueFd fd(open(path.c_str(), flags | O_CLOEXEC, 0666));
    if (fd) return fd;
    const int error = errno;
    if (error == EINTR) continue;
    if (IsOutOfDescriptors(error) && SpareFiles::CloseOne()) continue;
    if ((!MayPass(error) && !IsOutOfDescriptors(error)) || failures == kPauses.size()) {
      errno = error;
      return UniqueFd();
    }
    Pause(kPauses[failures++], {});
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

FileStamp StampOf(int fd, const std::string& path) {
  struct stat status;
  if (fstat(fd, &status) != 0) Fail(errno, path);
  return StampOf(status);
}

FileStamp SettledStampOf(int fd, const std::string& path) {
  using std::chrono::nanoseconds;
  const FileStamp stamp = StampOf(fd, path);
  // A write's time is from a clock of 100 to 1,000 ticks a second (twice the longest, as both ends
  // are rounded), or of one tick in 1 s or 2 s where a filesystem keeps whole seconds.
  const nanoseconds tick =
      stamp.mtime_ns % 1'000'000'000 == 0 ? std::chrono::seconds(2) : std::chrono::milliseconds(20);
  const nanoseconds now = std::chrono::system_clock::now().time_since_epoch();
  const nanoseconds written(stamp.mtime_ns);
  // A time far ahead of ours is no clock's.
  if (now - tick < written && written < now + tick) Pause(written + tick - now, {});
  // Not the stamp that the file has by now: what was written meanwhile, in a later tick, counts as
  // a change.
  return stamp;
}

std::size_t ReadAt(int fd, std::int64_t offset, std::span<std::byte> out, const std::string& path,
                   const std::stop_token& stop) {
  std::size_t done = 0;
  std::size_t failures = 0;
  while (done < out.size()) {
    if (stop.stop_requested()) throw std::runtime_error(path + ": reading was stopped");
    const ssize_t got =
        pread(fd, out.data() + done, out.size() - done, offset + static_cast<std::int64_t>(done));
    if (got > 0) {
      done += static_cast<std::size_t>(got);
    } else if (got == 0) {
      break;
    } else if (errno != EINTR) {
      const int error = errno;
      if (!MayPass(error) || failures == kPauses.size()) {
        throw std::runtime_error(
            fmt::format("{}: reading {} bytes at offset {} failed: {}; is the disk sound?", path,
                        out.size(), offset, std::generic_category().message(error)));
      }
      Pause(kPauses[failures++], stop);
    }
  }
  return done;
}

void AdviseToRead(int fd, std::int64_t begin, std::int64_t end) {
  // Linux cuts one advice off at the size of a device's largest request.
  constexpr std::int64_t kPiece = 256 << 10;
  for (; begin < end; begin += kPiece) {
    posix_fadvise(fd, begin, std::min(kPiece, end - begin), POSIX_FADV_WILLNEED);
  }
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
