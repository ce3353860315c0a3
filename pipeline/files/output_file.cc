#include "pipeline/files/output_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace fastclip {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kHead = 64 << 10;

std::string Message(int error) { return std::generic_category().message(error); }

std::optional<struct stat> StatusOf(const std::string& path) {
  struct stat status {};
  return stat(path.c_str(), &status) == 0 ? std::optional(status) : std::nullopt;
}

bool IsSame(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/// Of "/dev/fd/3", "/dev/stdout", or a link to one of these, the descriptor; nothing for other
/// paths. A rename would replace the file behind it under the hands of who opened it.
std::optional<int> DescriptorOf(const std::string& path) {
  const std::string own = fmt::format("/proc/{}/fd", getpid());
  std::error_code error;
  fs::path at = path;
  for (int links = 0; links < 40; ++links) {
    const std::string name = at.filename().string();
    const bool is_number = !name.empty() && name.size() < 8 &&
                           name.find_first_not_of("0123456789") == std::string::npos;
    const fs::path folder = at.has_parent_path() ? at.parent_path() : fs::path(".");
    if (is_number && fs::canonical(folder, error) == own) return std::stoi(name);
    if (!fs::is_symlink(fs::symlink_status(at, error))) return std::nullopt;
    at = folder / fs::read_symlink(at, error);
  }
  return std::nullopt;
}

/// The descriptor that `path` is written through: named so, or standard output or standard error
/// that were sent to this very file.
std::optional<int> OpenedAs(const std::string& path, const std::optional<struct stat>& status) {
  if (path == "-") return STDOUT_FILENO;
  if (const auto named = DescriptorOf(path)) return named;
  for (const int fd : {STDOUT_FILENO, STDERR_FILENO}) {
    struct stat opened {};
    if (status && !S_ISCHR(status->st_mode) && fstat(fd, &opened) == 0 && IsSame(opened, *status))
      return fd;
  }
  return std::nullopt;
}

bool IsStream(mode_t mode) { return S_ISCHR(mode) || S_ISFIFO(mode); }

std::string ReadHead(const std::string& path) {
  const UniqueFd fd = OpenToRead(path);
  std::string head(kHead, '\0');
  head.resize(fd ? ReadAt(fd.get(), 0, std::as_writable_bytes(std::span(head)), path) : 0);
  return head;
}

/// Throws for what may not be replaced; gives the permissions of what is.
std::optional<mode_t> CheckFile(const std::string& path, const std::string& target,
                                const OutputKind& kind, const std::vector<std::string>& inputs) {
  const auto status = StatusOf(target);
  if (!status) return std::nullopt;
  if (S_ISDIR(status->st_mode)) {
    throw std::runtime_error(fmt::format("{}: is a folder; use a file in it", path));
  }
  if (!S_ISREG(status->st_mode)) {
    throw std::runtime_error(fmt::format("{}: not a regular file; use another file", path));
  }
  for (const std::string& input : inputs) {
    const auto read = StatusOf(input);
    if (read && IsSame(*read, *status)) {
      throw std::runtime_error(
          fmt::format("{}: is an input of this command; write to another file", path));
    }
  }
  if (access(target.c_str(), W_OK) != 0) {
    throw std::runtime_error(fmt::format("{}: cannot be written: {}", path, Message(errno)));
  }
  if (status->st_size > 0 && !kind.is_one(ReadHead(target))) {
    throw std::runtime_error(
        fmt::format("{}: exists and is not {}; use another file", path, kind.name));
  }
  return status->st_mode & 07777;
}

}  // namespace

std::string FollowLinks(const std::string& path) {
  fs::path at = path;
  std::error_code error;
  for (int links = 0; links < 40; ++links) {
    if (!fs::is_symlink(fs::symlink_status(at, error))) return at.string();
    at = at.parent_path() / fs::read_symlink(at);
  }
  throw std::runtime_error(path + ": circular link; use another file");
}

OutputFile::OutputFile(std::string path, const OutputKind& kind,
                       const std::vector<std::string>& inputs)
    : path_(std::move(path)) {
  if (path_.empty() || path_.find('\0') != std::string::npos) {
    throw std::runtime_error("the output path is empty or has a zero byte; use another path");
  }
  const auto status = StatusOf(path_);
  const std::optional<int> descriptor = OpenedAs(path_, status);
  is_stdout_ = descriptor == STDOUT_FILENO;
  if (descriptor || (status && IsStream(status->st_mode))) {
    OpenStream(descriptor);
    return;
  }
  const std::string target = FollowLinks(path_);
  const auto mode = CheckFile(path_, target, kind, inputs);
  const std::string folder = fs::path(target).parent_path().string();
  RemoveAbandoned(folder, [name = fs::path(target).filename().string()](std::string_view of) {
    return of == name;
  });
  try {
    file_.emplace(target);
  } catch (const std::system_error& error) {
    throw std::runtime_error(
        fmt::format("{}: cannot be written: {}", path_, error.code().message()));
  }
  if (mode) file_->SetMode(*mode);
}

void OutputFile::OpenStream(std::optional<int> descriptor) {
  stream_ = UniqueFd(descriptor ? fcntl(*descriptor, F_DUPFD_CLOEXEC, 3)
                                : open(path_.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY));
  if (!stream_) {
    throw std::runtime_error(fmt::format("{}: cannot be written: {}", path_, Message(errno)));
  }
}

void OutputFile::Append(std::span<const std::byte> bytes) {
  if (file_) return file_->Append(bytes);
  while (!bytes.empty()) {
    const ssize_t put = write(stream_.get(), bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) throw std::system_error(errno, std::generic_category(), "writing " + path_);
    bytes = bytes.subspan(static_cast<std::size_t>(put));
  }
}

void OutputFile::Append(std::string_view text) {
  Append(std::as_bytes(std::span(text.data(), text.size())));
}

void OutputFile::Commit() {
  if (file_) file_->Commit();
}

std::string CheckOutputPath(const std::string& path, const OutputKind& kind) {
  const auto status = StatusOf(path);
  if (path == "-" || OpenedAs(path, status) || (status && IsStream(status->st_mode))) {
    throw std::runtime_error(
        fmt::format("{}: {} cannot be written to a stream; use a file", path, kind.name));
  }
  const std::string target = FollowLinks(path);
  CheckFile(path, target, kind, {});
  const std::string folder = fs::path(target).parent_path().string();
  if (access(folder.empty() ? "." : folder.c_str(), W_OK | X_OK) != 0) {
    throw std::runtime_error(fmt::format("{}: cannot be written: {}", path, Message(errno)));
  }
  return target;
}

}  // namespace fastclip
