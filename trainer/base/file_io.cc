#include "trainer/base/file_io.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <span>
#include <stdexcept>
#include <vector>

#include "pipeline/files/atomic_file.h"
#include "pipeline/files/file.h"
#include "pipeline/files/stream_hash.h"

namespace fastclip {
namespace {

[[noreturn]] void Fail(const std::string& path, const char* what) {
  const int cause = errno;
  throw std::runtime_error(fmt::format("{}: {}: {}", path, what, std::strerror(cause)));
}

UniqueFd Open(const std::string& path, int flags) {
  UniqueFd fd = OpenWithRetries(path, flags);
  if (!fd && errno == EEXIST) throw FileExists(path + ": already exists");
  if (!fd) Fail(path, "cannot be opened");
  return fd;
}

/// 0 at the end of the file.
std::size_t ReadSome(int fd, const std::string& path, char* out, std::size_t size) {
  for (;;) {
    const ssize_t got = read(fd, out, size);
    if (got >= 0) return static_cast<std::size_t>(got);
    if (errno != EINTR) Fail(path, "cannot be read");
  }
}

void WriteAll(int fd, const std::string& path, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t done = write(fd, bytes.data(), bytes.size());
    if (done < 0 && errno != EINTR) Fail(path, "cannot be written");
    if (done > 0) bytes.remove_prefix(static_cast<std::size_t>(done));
  }
}

/// The end of the last whole line at or before `length`.
std::int64_t EndOfLine(int fd, const std::string& path, std::int64_t length) {
  char block[4096];
  while (length > 0) {
    const std::int64_t first = std::max<std::int64_t>(0, length - std::int64_t{sizeof block});
    const ssize_t got = pread(fd, block, static_cast<std::size_t>(length - first), first);
    if (got != length - first) Fail(path, "cannot be read");
    const auto newline = std::string_view(block, static_cast<std::size_t>(got)).rfind('\n');
    if (newline != std::string_view::npos) return first + static_cast<std::int64_t>(newline) + 1;
    length = first;
  }
  return 0;
}

}  // namespace

AppendFile::AppendFile(const std::string& path, Open how)
    : path_(path),
      fd_(fastclip::Open(path, O_RDWR | O_CREAT | O_APPEND | (how == Open::kMake ? O_EXCL : 0))),
      length_(lseek(fd_.get(), 0, SEEK_END)) {
  if (length_ < 0) Fail(path_, "cannot be appended to");
}

void AppendFile::Append(std::string_view bytes) {
  try {
    WriteAll(fd_.get(), path_, bytes);
  } catch (...) {
    [[maybe_unused]] const int best_effort = ftruncate(fd_.get(), length_);
    throw;
  }
  length_ += static_cast<std::int64_t>(bytes.size());
}

void AppendFile::CutBackToLine(std::int64_t length) {
  const std::int64_t end =
      EndOfLine(fd_.get(), path_, std::clamp<std::int64_t>(length, 0, length_));
  if (ftruncate(fd_.get(), end) != 0) Fail(path_, "cannot be truncated");
  length_ = end;
}

std::string AppendFile::Read(std::int64_t offset) const {
  std::string bytes(static_cast<std::size_t>(length_ - offset), '\0');
  bytes.resize(ReadAt(fd_.get(), offset, std::as_writable_bytes(std::span(bytes)), path_));
  return bytes;
}

void AppendFile::Sync() {
  if (fsync(fd_.get()) != 0) Fail(path_, "cannot be synced");
}

void ReplaceFile(const std::string& path, std::string_view bytes) {
  AtomicFile file(path);
  file.Append(std::as_bytes(std::span(bytes)));
  file.Commit();
}

std::string ReadWholeFile(const std::string& path, std::int64_t limit) {
  const UniqueFd file = Open(path, O_RDONLY | O_NONBLOCK);  // a pipe may have no writer
  struct stat status {};
  if (fstat(file.get(), &status) != 0) Fail(path, "cannot be read");
  if (!S_ISREG(status.st_mode)) throw std::runtime_error(path + ": is not a regular file");
  if (status.st_size > limit) {
    throw std::runtime_error(
        fmt::format("{}: has {} bytes, the limit is {}", path, status.st_size, limit));
  }
  std::string bytes(static_cast<std::size_t>(status.st_size), '\0');
  std::size_t filled = 0;
  while (filled < bytes.size()) {
    const std::size_t got =
        ReadSome(file.get(), path, bytes.data() + filled, bytes.size() - filled);
    if (got == 0) break;
    filled += got;
  }
  bytes.resize(filled);
  return bytes;
}

FileDigest DigestFile(const std::string& path) {
  const UniqueFd file = Open(path, O_RDONLY | O_NONBLOCK);
  StreamHash hash;
  std::vector<char> block(std::size_t{1} << 20);
  FileDigest digest;
  while (const std::size_t got = ReadSome(file.get(), path, block.data(), block.size())) {
    hash.Add(std::as_bytes(std::span(block).first(got)));
    digest.size += static_cast<std::int64_t>(got);
  }
  digest.xxh3 = hash.Digest();
  return digest;
}

std::uint64_t Xxh3(std::string_view bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

}  // namespace fastclip
