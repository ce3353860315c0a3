#include "trainer/run/run_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <stdexcept>

#include "comm/launch.h"
#include "pipeline/files/atomic_file.h"
#include "trainer/base/file_io.h"

namespace fastclip {

namespace {

/// The holder of a lock may have removed its file while this process waited for it.
bool IsFile(int fd, const std::string& path) {
  struct stat of_fd {
  }, of_path{};
  return fstat(fd, &of_fd) == 0 && stat(path.c_str(), &of_path) == 0 &&
         of_fd.st_dev == of_path.st_dev && of_fd.st_ino == of_path.st_ino;
}

}  // namespace

RunLock::RunLock(const std::string& run_folder) : folder_(run_folder) {
  constexpr int kTries = 5;
  for (int tries = 1; !Lock(); ++tries) {
    if (tries == kTries) {
      throw std::runtime_error(
          fmt::format("{}: other processes keep removing it; use another run=FOLDER", folder_));
    }
  }
  RemoveAbandoned(folder_, [](std::string_view) { return true; });
  // Only for people; the lock itself is what counts.
  const std::string holder = fmt::format("process {} on {}\n", getpid(), HostName());
  if (ftruncate(fd_.get(), 0) == 0) {
    [[maybe_unused]] const ssize_t written = pwrite(fd_.get(), holder.data(), holder.size(), 0);
  }
}

/// False if another process removed the lock's file meanwhile.
bool RunLock::Lock() {
  std::error_code error;
  made_folder_ |= std::filesystem::create_directories(folder_, error);
  if (error) {
    throw std::runtime_error(fmt::format(
        "{}: cannot create the run folder: {}; use another run=FOLDER", folder_, error.message()));
  }
  const std::string path = folder_ + "/lock";
  fd_ = OpenWithRetries(path, O_RDWR | O_CREAT);
  if (!fd_) {
    const int reason = errno;
    RemoveIfEmpty();
    throw std::runtime_error(
        fmt::format("{}: {}; use another run=FOLDER", path, std::strerror(reason)));
  }
  if (flock(fd_.get(), LOCK_EX | LOCK_NB) == 0) return IsFile(fd_.get(), path);
  made_folder_ = false;  // others may use it
  if (errno != EWOULDBLOCK) return true;
  std::string holder;
  try {
    holder = ReadWholeFile(path, 4096);
  } catch (const std::runtime_error&) {
    return false;
  }
  if (holder.ends_with('\n')) holder.pop_back();
  throw std::runtime_error(
      fmt::format("{}: another process trains in this folder{}; wait until it ends, or use another "
                  "run=FOLDER",
                  folder_, holder.empty() ? "" : " (" + holder + ")"));
}

/// Only the lock may be in it.
void RunLock::RemoveIfEmpty() {
  namespace fs = std::filesystem;
  if (!made_folder_) return;
  std::error_code error;
  for (fs::directory_iterator entry(folder_, error), end; entry != end; entry.increment(error)) {
    if (entry->path().filename() != "lock") return;
  }
  if (error) return;
  fs::remove(folder_ + "/lock", error);
  fd_ = UniqueFd();  // NFS keeps a removed file that is open
  fs::remove(folder_, error);
}

RunLock::~RunLock() { RemoveIfEmpty(); }

}  // namespace fastclip
