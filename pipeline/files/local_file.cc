#include "pipeline/files/local_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <system_error>

#include "pipeline/files/retries.h"

namespace fastclip {
namespace {

namespace fs = std::filesystem;

bool LeadsNowhere(int error) { return error == ENOENT || error == ENOTDIR || error == ELOOP; }

/// What the folder tells of an entry is not asked for again.
FolderEntry EntryOf(const fs::directory_entry& entry) {
  using Kind = FolderEntry::Kind;
  FolderEntry found{.name = entry.path().filename()};
  std::error_code error, ignored;
  if (entry.is_directory(error)) {
    found.kind = Kind::kFolder;
  } else if (error && !LeadsNowhere(error.value())) {
    found.error = error;
  } else if (entry.is_symlink(ignored)) {
    found.kind = error ? Kind::kBrokenLink : Kind::kFile;
  } else {
    found.kind = entry.is_regular_file(ignored) ? Kind::kFile : Kind::kOther;
  }
  return found;
}

class LocalFileSystem final : public FileSystem {
 public:
  std::shared_ptr<const RandomAccessFile> Open(const std::string& path) const override {
    UniqueFd fd = OpenToRead(path);
    return fd ? std::make_shared<const LocalFile>(std::move(fd), path) : nullptr;
  }

  std::optional<FileStamp> Find(const std::string& path) const override {
    struct stat status;
    if (stat(path.c_str(), &status) != 0) {
      if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
      throw std::runtime_error(fmt::format("{}: {}", path, std::generic_category().message(errno)));
    }
    if (S_ISDIR(status.st_mode)) {
      throw std::runtime_error(
          fmt::format("{}: is a folder; list its files, as in '{}/*.tar'", path, path));
    }
    if (!S_ISREG(status.st_mode))
      throw std::runtime_error(path + ": not a regular file; check the path");
    return StampOf(status);
  }

  std::optional<FolderId> FindFolder(const std::string& path) const override {
    struct stat status;
    if (stat(path.c_str(), &status) == 0) {
      return S_ISDIR(status.st_mode) ? std::optional(FolderId(status.st_dev, status.st_ino))
                                     : std::nullopt;
    }
    if (LeadsNowhere(errno)) return std::nullopt;
    throw std::system_error(errno, std::generic_category(), path);
  }

  void List(const std::string& folder, const Visit& visit) const override {
    std::error_code error;
    fs::directory_iterator at(folder, error);
    for (; !error && at != fs::directory_iterator(); at.increment(error)) visit(EntryOf(*at));
    if (error) {
      throw std::runtime_error(
          fmt::format("{}: the folder cannot be read: {}", folder, error.message()));
    }
  }
};

}  // namespace

const FileSystem& LocalFiles() {
  static const LocalFileSystem files;
  return files;
}

FileStamp DescriptorFile::Stamp() const {
  struct stat status;
  if (fstat(fd_, &status) != 0) throw std::system_error(errno, std::generic_category(), name());
  return StampOf(status);
}

FileStamp DescriptorFile::SettledStamp() const {
  using std::chrono::nanoseconds;
  const FileStamp stamp = Stamp();
  // A write's time is from a clock of 100 to 1,000 ticks a second (twice the longest, as both ends
  // are rounded), or of one tick in 1 s or 2 s where a filesystem keeps whole seconds.
  const nanoseconds tick =
      stamp.mtime_ns % 1'000'000'000 == 0 ? std::chrono::seconds(2) : std::chrono::milliseconds(20);
  const nanoseconds now = std::chrono::system_clock::now().time_since_epoch();
  const nanoseconds written(stamp.mtime_ns);
  // A time far ahead of ours is no clock's.
  if (now - tick < written && written < now + tick) Pause(written + tick - now);
  // Not the stamp that the file has by now: what was written meanwhile, in a later tick, counts as
  // a change.
  return stamp;
}

std::size_t DescriptorFile::ReadSome(std::int64_t offset, std::span<std::byte> out) const {
  const ssize_t got = pread(fd_, out.data(), out.size(), offset);
  if (got < 0) throw std::system_error(errno, std::generic_category(), name());
  return static_cast<std::size_t>(got);
}

void DescriptorFile::Advise(std::int64_t begin, std::int64_t end) const {
  // Linux cuts one advice off at the size of a device's largest request.
  constexpr std::int64_t kPiece = 256 << 10;
  for (; begin < end; begin += kPiece) {
    posix_fadvise(fd_, begin, std::min(kPiece, end - begin), POSIX_FADV_WILLNEED);
  }
}

std::int64_t DescriptorFile::NextData(std::int64_t at) const {
  const off_t data = lseek(fd_, at, SEEK_DATA);
  if (data >= 0) return data;
  return errno == ENXIO ? Stamp().size : at;  // nothing but a hole; or not supported
}

}  // namespace fastclip
