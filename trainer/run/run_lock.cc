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
  std::error_code error;
  made_folder_ = std::filesystem::create_directories(run_folder, error);
  if (error) {
    throw std::runtime_error(
        fmt::format("{}: cannot create the run folder: {}; use another run=FOLDER", run_folder,
                    error.message()));
  }
  const std::string path = run_folder + "/lock";
  fd_ = OpenWithRetries(path, O_RDWR | O_CREAT);
  if (!fd_) {
    throw std::runtime_error(
        fmt::format("{}: {}; use another run=FOLDER", path, std::strerror(errno)));
  }
  if (flock(fd_.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return;
    std::string holder = ReadWholeFile(path, 4096);
    if (holder.ends_with('\n')) holder.pop_back();
    throw std::runtime_error(
        fmt::format("{}: another process trains in this folder{}; wait until it ends, or use "
                    "another run=FOLDER",
                    run_folder, holder.empty() ? "" : " (" + holder + ")"));
  }
  if (!IsFile(fd_.get(), path)) {
    throw std::runtime_error(
        fmt::format("{}: removed by another process whose start failed; start again", run_folder));
  }
  RemoveAbandoned(run_folder, [](std::string_view) { return true; });
  // Only for people; the lock itself is what counts.
  const std::string holder = fmt::format("process {} on {}\n", getpid(), HostName());
  if (ftruncate(fd_.get(), 0) == 0) {
    [[maybe_unused]] const ssize_t written = pwrite(fd_.get(), holder.data(), holder.size(), 0);
  }
}

RunLock::~RunLock() {
  if (!made_folder_) return;
  namespace fs = std::filesystem;
  std::error_code error;
  const auto files =
      std::distance(fs::directory_iterator(folder_, error), fs::directory_iterator());
  if (error || files != 1) return;
  fs::remove(folder_ + "/lock", error);
  fs::remove(folder_, error);
}

}  // namespace fastclip
