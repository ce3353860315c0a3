#include "trainer/run/run_folder.h"

#include <fmt/format.h>

#include <filesystem>
#include <stdexcept>
#include <utility>

#include "comm/exchange.h"
#include "comm/launch.h"
#include "trainer/base/file_io.h"

namespace fastclip {

RunFolder::RunFolder(std::string path, Communicator& comm)
    : path_(std::move(path)), comm_(comm), checkpoints_(path_, comm) {
  if (comm.rank() == 0) lock_.emplace(path_);
}

/// Compares what rank 0 wrote into its lock.
void RunFolder::RefuseAFolderOfItsOwn() {
  const std::string lock = path_ + "/lock";
  std::string seen;
  Together(comm_, [&] {
    if (comm_.rank() == 0) seen = ReadWholeFile(lock, 4096);
  });
  const std::string expected = GatherTexts(comm_, seen).front();
  Together(comm_, [&] {
    std::error_code absent;
    if (std::filesystem::exists(lock, absent) && ReadWholeFile(lock, 4096) == expected) return;
    throw std::runtime_error(
        fmt::format("the run folder {} on {} is not the same as on rank 0; put it on a file system "
                    "that all ranks "
                    "share",
                    path_, HostName()));
  });
}

std::optional<FoundCheckpoint> RunFolder::FindCheckpoint() {
  std::optional<FoundCheckpoint> found;
  Together(comm_, [&] {
    if (comm_.rank() == 0) found = FindNewestCheckpoint(path_);
  });
  const std::string path = GatherTexts(comm_, found ? found->path : "").front();
  Together(comm_, [&] {
    if (comm_.rank() == 0 || path.empty()) return;
    found.emplace();
    found->path = path;
    found->meta = ReadCheckpointMeta(path);
  });
  return found;
}

void RunFolder::OpenLog(const CheckpointMeta& resumed, std::int64_t step) {
  log_.emplace(path_, resumed.metrics_bytes, step, resumed.metrics_owed);
}

void RunFolder::OpenQuarantine(bool keep, const RecordSource& source) {
  quarantine_.emplace(path_, keep, source, comm_);
}

}  // namespace fastclip
