#include "pipeline/convert/convert_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>
#include <string_view>
#include <system_error>

#include "pipeline/files/output_file.h"

namespace fastclip {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kLock = "convert.lock", kReport = "convert.json";
constexpr std::string_view kClasses = "classes.txt";
constexpr std::string_view kInPlace = "convert.unfinished";

/// 00000.tar, convert.json, classes.txt, convert.lock, and what AtomicFile writes aside for them.
bool IsOurs(const std::string& name) {
  std::string_view rest = name;
  if (rest == kLock) return true;
  const std::size_t digits = rest.find_first_not_of("0123456789");
  if (rest.starts_with(kReport)) {
    rest.remove_prefix(kReport.size());
  } else if (rest.starts_with(kClasses)) {
    rest.remove_prefix(kClasses.size());
  } else if (digits != rest.npos && digits >= 5 && rest.substr(digits).starts_with(".tar")) {
    rest.remove_prefix(digits + 4);
  } else {
    return false;
  }
  return rest.empty() || (rest.starts_with('.') && rest.ends_with(".tmp"));
}

[[noreturn]] void Refuse(const fs::path& path, const std::string& why) {
  throw std::runtime_error(fmt::format("{}: {}", path.string(), why));
}

std::string Message(int error) { return std::generic_category().message(error); }

}  // namespace

ConvertFolder::ConvertFolder(const std::string& out) {
  if (out.empty()) throw std::runtime_error("OUT_DIR is empty; set it to a new folder");
  const fs::path slashed = fs::path(out) / "";
  out_ = FollowLinks(slashed.parent_path().string());  // without a slash at its end
  in_place_ = fs::exists(out_);
  RequireFree();
  unfinished_ = in_place_ ? out_ / kInPlace : fs::path(out_.string() + ".unfinished");
  std::error_code error;
  if (!in_place_) fs::create_directories(unfinished_.parent_path(), error);
  if (mkdir(unfinished_.c_str(), 0777) != 0 && errno != EEXIST) {
    Refuse(unfinished_, "cannot be created: " + Message(errno));
  }
  if (!fs::is_directory(unfinished_, error)) Refuse(unfinished_, "is not a folder; move it away");
  Lock();
  RequireFree();  // it may have been finished before we had the lock
  if (const std::int64_t files = Clear(); files > 0) {
    removed_ = fmt::format("{}: removed {} {} left by an earlier convert that did not finish",
                           unfinished_.string(), files, files == 1 ? "file" : "files");
  }
}

/// Throws unless OUT is as it was when we came, with nothing in it but what is ours.
void ConvertFolder::RequireFree() const {
  std::error_code error;
  if (!fs::exists(out_, error)) return;
  if (!fs::is_directory(out_, error)) {
    Refuse(out_, out_.extension() == ".tar"
                     ? fmt::format("is a shard, not a new folder; if it comes from a pattern that "
                                   "the shell expanded, quote that: '{}'",
                                   (out_.parent_path() / "*.tar").string())
                     : "exists and is not a folder; use a new folder");
  }
  for (const auto& entry : fs::directory_iterator(out_)) {
    if (in_place_ && entry.path().filename() == kInPlace) continue;
    if (entry.path().filename() == "lost+found") continue;  // of a disk that is mounted there
    if (fs::exists(out_ / kInPlace / kLock, error)) {
      Refuse(out_, fmt::format("holds the output of an interrupted convert; remove the shards and "
                               "{}, or use a new folder",
                               kInPlace));
    }
    Refuse(out_, "exists and is not empty; use a new folder, or remove it");
  }
}

void ConvertFolder::Lock() {
  const fs::path path = unfinished_ / kLock;
  struct stat status {};
  const bool marked = lstat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode);
  for (const auto& entry : fs::directory_iterator(unfinished_)) {
    const std::string name = entry.path().filename().string();
    if (!marked || !IsOurs(name) || entry.is_directory()) {
      Refuse(entry.path(), "was not made by fastclip shards convert; move it away");
    }
  }
  lock_ = UniqueFd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666));
  if (!lock_) Refuse(path, "cannot be written: " + Message(errno));
  if (flock(lock_.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    std::string holder(256, '\0');
    holder.resize(ReadAt(lock_.get(), 0, std::as_writable_bytes(std::span(holder)), path));
    holder = holder.substr(0, holder.find('\n'));
    Refuse(out_, fmt::format("another fastclip shards convert is writing to it{}; wait until it "
                             "ends, or use another folder",
                             holder.empty() ? "" : " (" + holder + ")"));
  }
  struct stat held {};
  if (fstat(lock_.get(), &held) != 0 || stat(path.c_str(), &status) != 0 ||
      held.st_ino != status.st_ino) {
    Refuse(out_,
           "another fastclip shards convert has just finished writing it; use another folder");
  }
  // For people only: what counts is the lock.
  char host[65] = "";
  gethostname(host, sizeof host - 1);
  const std::string holder = fmt::format("process {} on {}\n", getpid(), host);
  if (ftruncate(lock_.get(), 0) == 0) {
    WriteAt(lock_.get(), 0, std::as_bytes(std::span(holder)), path.string());
  }
}

std::int64_t ConvertFolder::Clear() {
  std::int64_t files = 0;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(unfinished_, ignored)) {
    const std::string name = entry.path().filename().string();
    if (name != kLock && IsOurs(name) && fs::remove(entry.path(), ignored)) ++files;
  }
  return files;
}

void ConvertFolder::Finish() {
  if (in_place_) {
    for (const auto& entry : fs::directory_iterator(unfinished_)) {
      const std::string name = entry.path().filename().string();
      if (name != kLock && name != kReport) fs::rename(entry.path(), out_ / name);
    }
    fs::rename(unfinished_ / kReport, out_ / kReport);
    fs::remove(unfinished_ / kLock);
    fs::remove(unfinished_);
    SyncFolder(out_.string());
  } else {
    fs::rename(unfinished_, out_);  // the lock with it: there is no moment without
    fs::remove(out_ / kLock);
    SyncFolder(out_.parent_path().string());
  }
  finished_ = true;
}

ConvertFolder::~ConvertFolder() {
  if (finished_) return;
  std::error_code ignored;
  Clear();
  fs::remove(unfinished_ / kLock, ignored);
  fs::remove(unfinished_, ignored);
}

}  // namespace fastclip
