#include <dlfcn.h>
#include <fcntl.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdlib>
#include <sstream>
#include <string>
#include <string_view>

// A library to preload (LD_PRELOAD): calls of the C library that fail, as FAULT tells:
// "CALL PART COUNT ERRNO [RANK]": CALL (write, which is pwrite too, pread or open) on files whose
// path contains PART, or ends with it where a $ follows, fails with ERRNO after the first COUNT;
// ERRNO 0: each takes a second more. RANK: in that rank of a run alone. "statvfs PART COUNT BYTES":
// after the first COUNT the disk has so many bytes free.

namespace {

struct Fault {
  std::string call, part;
  int count = 0;
  int error = 0;  // or bytes
};

const Fault& Planned() {
  static const Fault fault = [] {
    Fault read;
    const char* words = std::getenv("FAULT");
    if (words == nullptr) return read;
    std::istringstream stream(words);
    std::string rank;
    stream >> read.call >> read.part >> read.count >> read.error >> rank;
    const char* own = std::getenv("RANK");
    if (!rank.empty() && (own == nullptr || rank != own)) read.call.clear();
    return read;
  }();
  return fault;
}

bool Matches(std::string_view path, std::string_view part) {
  if (!part.ends_with('$')) return path.find(part) != std::string_view::npos;
  part.remove_suffix(1);
  return path.ends_with(part);
}

/// Whether the fault is to happen in this call.
bool IsDue(std::string_view call, std::string_view path) {
  static std::atomic<int> done{0};
  const Fault& fault = Planned();
  return fault.call == call && Matches(path, fault.part) && done++ >= fault.count;
}

/// Whether this call is to fail; errno is then set.
bool Fails(std::string_view call, std::string_view path) {
  if (!IsDue(call, path)) return false;
  const Fault& fault = Planned();
  if (fault.error == 0) {
    usleep(1'000'000);
    return false;
  }
  errno = fault.error;
  return true;
}

bool Fails(std::string_view call, int fd) {
  if (Planned().call != call) return false;
  std::array<char, 4096> path{};
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  const ssize_t size = readlink(link.c_str(), path.data(), path.size());
  return size > 0 && Fails(call, std::string_view(path.data(), static_cast<std::size_t>(size)));
}

template <class Function>
Function* Real(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

template <class Disk>
int Space(const char* name, const char* path, Disk* disk) {
  const int code = Real<int(const char*, Disk*)>(name)(path, disk);
  if (code == 0 && IsDue("statvfs", path)) {
    disk->f_bavail = static_cast<unsigned long>(Planned().error) / disk->f_frsize;
  }
  return code;
}

}  // namespace

extern "C" {

ssize_t write(int fd, const void* bytes, size_t size) {
  static auto* const real = Real<ssize_t(int, const void*, size_t)>("write");
  return Fails("write", fd) ? -1 : real(fd, bytes, size);
}

ssize_t pwrite(int fd, const void* bytes, size_t size, off_t offset) {
  static auto* const real = Real<ssize_t(int, const void*, size_t, off_t)>("pwrite");
  return Fails("write", fd) ? -1 : real(fd, bytes, size, offset);
}

ssize_t pread(int fd, void* bytes, size_t size, off_t offset) {
  static auto* const real = Real<ssize_t(int, void*, size_t, off_t)>("pread");
  return Fails("pread", fd) ? -1 : real(fd, bytes, size, offset);
}

int open(const char* path, int flags, ...) {
  static auto* const real = Real<int(const char*, int, ...)>("open");
  std::va_list more;
  va_start(more, flags);
  const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(more, mode_t) : 0;
  va_end(more);
  return Fails("open", path) ? -1 : real(path, flags, mode);
}

int statvfs(const char* path, struct statvfs* disk) noexcept {
  return Space("statvfs", path, disk);
}
int statvfs64(const char* path, struct statvfs64* disk) noexcept {
  return Space("statvfs64", path, disk);
}
}
