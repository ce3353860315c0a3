#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "comm/communicator.h"
#include "trainer/log/quarantine.h"
#include "trainer/log/run_log.h"
#include "trainer/run/run_lock.h"
#include "trainer/state/checkpoint.h"
#include "trainer/state/checkpoint_writer.h"

namespace fastclip {

/// RUN/ as shared by the ranks: rank 0's lock and logs, the quarantine, and the checkpoints.
class RunFolder {
 public:
  /// Rank 0 takes the lock before anything is written. Throws std::runtime_error if another process
  /// has it, or the folder cannot be created.
  RunFolder(std::string path, Communicator& comm);

  /// Throws std::runtime_error on all ranks if a rank sees another folder at that path: every rank
  /// writes its part of a checkpoint. A collective.
  void RefuseAFolderOfItsOwn();
  /// The newest valid checkpoint. Rank 0 checks every byte; the others rely on it.
  std::optional<FoundCheckpoint> FindCheckpoint();
  /// Writes the run's checkpoints, and knows the newest.
  CheckpointWriter& checkpoints() { return checkpoints_; }
  const CheckpointWriter& checkpoints() const { return checkpoints_; }

  /// Opens rank 0's metrics, truncated to those of `resumed` (new run: {}), at that step.
  void OpenLog(const CheckpointMeta& resumed, std::int64_t step);
  /// nullptr on the other ranks.
  RunLog* log() { return log_ ? &*log_ : nullptr; }
  /// `keep`: keeps what earlier starts of the run found. A collective.
  void OpenQuarantine(bool keep, const RecordSource& source);
  Quarantine& quarantine() { return *quarantine_; }

 private:
  const std::string path_;
  Communicator& comm_;
  std::optional<RunLock> lock_;  // on rank 0
  std::optional<RunLog> log_;    // on rank 0
  std::optional<Quarantine> quarantine_;
  CheckpointWriter checkpoints_;  // its thread writes while the lock is held
};

}  // namespace fastclip
