#include "pipeline/files/atomic_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>
#include <utility>

namespace fastclip {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSuffix = ".tmp";
/// Of a target's name in that of its temporary file: with what comes behind, a name may be 255
/// long.
constexpr std::size_t kMostOfName = 150;

[[noreturn]] void Fail(int error, const std::string& what) {
  throw std::system_error(error, std::generic_category(), what);
}

/// This machine's name as a part of file names.
std::string HostPart() {
  std::array<char, 65> host{};
  if (gethostname(host.data(), host.size() - 1) != 0) return "host";
  std::string part;
  for (const char c : std::string_view(host.data())) {
    part += std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '-';
  }
  return part.empty() ? "host" : part;
}

std::string TemporaryName(const std::string& path, int n) {
  const fs::path target(path);
  const std::string name = target.filename().string().substr(0, kMostOfName);
  return (target.parent_path() /
          fmt::format("{}.{}.{}.{}{}", name, HostPart(), getpid(), n, kSuffix))
      .string();
}

/// Cuts ".WORD" off the end of `text`; nothing where there is none.
std::string_view CutLastWord(std::string_view& text) {
  const std::size_t dot = text.rfind('.');
  if (dot == std::string_view::npos) return {};
  const std::string_view word = text.substr(dot + 1);
  text = text.substr(0, dot);
  return word;
}

bool IsNumber(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

/// The target of which `name` is a temporary file made on this host; empty where it is none.
std::string_view TargetOf(std::string_view name, std::string_view host) {
  if (!name.ends_with(kSuffix)) return {};
  name.remove_suffix(kSuffix.size());
  if (!IsNumber(CutLastWord(name)) || !IsNumber(CutLastWord(name))) return {};
  return CutLastWord(name) == host ? name : std::string_view();
}

/// The lock goes when its holder dies, however it dies.
bool TryLock(int fd) { return flock(fd, LOCK_EX | LOCK_NB) == 0; }

/// Whether a file was locked by another, who takes it for abandoned, or has been removed by him.
bool IsLost(int fd) {
  if (!TryLock(fd) && errno == EWOULDBLOCK) return true;
  struct stat status {};
  return fstat(fd, &status) == 0 && status.st_nlink == 0;
}

}  // namespace

AtomicFile::AtomicFile(std::string path) : path_(std::move(path)) {
  for (int n = 0; !fd_; ++n) {
    temporary_ = TemporaryName(path_, n);
    fd_ = OpenWithRetries(temporary_, O_RDWR | O_CREAT | O_EXCL);
    if (!fd_ && errno != EEXIST) {
      const int error = errno;
      temporary_.clear();
      Fail(error, "making " + path_);
    }
    if (fd_ && IsLost(fd_.get())) fd_ = UniqueFd();
  }
}

AtomicFile::~AtomicFile() {
  if (!temporary_.empty()) unlink(temporary_.c_str());
}

void AtomicFile::SetMode(mode_t mode) {
  if (fchmod(fd_.get(), mode) != 0) Fail(errno, "setting the permissions of " + path_);
}

void AtomicFile::Append(std::span<const std::byte> bytes) {
  WriteAt(size_, bytes);
  size_ += static_cast<std::int64_t>(bytes.size());
}

void AtomicFile::WriteAt(std::int64_t offset, std::span<const std::byte> bytes) {
  fastclip::WriteAt(fd_.get(), offset, bytes, path_);
}

UniqueFd AtomicFile::Commit() {
  if (fsync(fd_.get()) != 0) Fail(errno, "syncing " + path_);
  UniqueFd fd = CommitUnsynced();
  SyncFolder(fs::path(path_).parent_path().string());
  return fd;
}

UniqueFd AtomicFile::CommitUnsynced() {
  if (rename(temporary_.c_str(), path_.c_str()) != 0) Fail(errno, "renaming to " + path_);
  temporary_.clear();
  flock(fd_.get(), LOCK_UN);
  return std::move(fd_);
}

void ReplaceFolder(const std::string& complete, const std::string& final) {
  SyncFolder(complete);
  if (fs::exists(final)) {
    const std::string replaced = final + std::string(kReplacedFolder);
    fs::remove_all(replaced);
    fs::rename(final, replaced);
  }
  fs::rename(complete, final);
  SyncFolder(fs::path(final).parent_path().string());
}

int RemoveAbandoned(const std::string& folder, const std::function<bool(std::string_view)>& ours) {
  const std::string host = HostPart();
  const fs::path where = folder.empty() ? fs::path(".") : fs::path(folder);
  int removed = 0;
  std::error_code ignored;
  for (fs::directory_iterator entry(where, ignored), end; entry != end; entry.increment(ignored)) {
    const std::string name = entry->path().filename().string();
    const std::string_view target = TargetOf(name, host);
    if (target.empty() || !ours(target)) continue;
    const UniqueFd fd(open(entry->path().c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW));
    if (fd && TryLock(fd.get()) && unlink(entry->path().c_str()) == 0) ++removed;
  }
  return removed;
}

FolderLock::FolderLock(const std::string& folder)
    : fd_(open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  while (fd_ && flock(fd_.get(), LOCK_EX) != 0 && errno == EINTR) {
  }
}

}  // namespace fastclip
