#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>

#include "comm/communicator.h"
#include "trainer/log/quarantine.h"
#include "trainer/log/run_log.h"
#include "trainer/run/run_lock.h"
#include "trainer/state/checkpoint.h"

namespace fastclip {

/// RUN/ as the ranks of a run have it: rank 0's lock and logs, what could not be used of the data,
/// and the checkpoints.
class RunFolder {
 public:
  /// Rank 0 takes the lock, before anything is written. Throws std::runtime_error where another
  /// process has it, or the folder cannot be made.
  RunFolder(std::string path, Communicator& comm);

  /// Each rank writes its part of a checkpoint: throws std::runtime_error on all ranks where one
  /// sees another folder under that path. Every rank calls it.
  void RefuseAFolderOfItsOwn();
  /// The newest whole checkpoint. Rank 0 looks and checks every byte; the others take its word.
  std::optional<FoundCheckpoint> FindCheckpoint();
  /// That is where the run goes on from.
  void GoOnFrom(const FoundCheckpoint& found);

  /// Rank 0's metrics, cut back to those of `resumed` (of a new run: {}), at that step.
  void OpenLog(const CheckpointMeta& resumed, std::int64_t step);
  /// nullptr on the other ranks.
  RunLog* log() { return log_ ? &*log_ : nullptr; }
  /// `keep`: what earlier starts of the run found. Every rank calls it.
  void OpenQuarantine(bool keep, const RecordSource& source);
  Quarantine& quarantine() { return *quarantine_; }

  /// SaveCheckpoint() here. Every rank calls it.
  void Save(const CheckpointMeta& meta, const CheckpointContent& content, int keep);
  /// The newest one; empty: none yet.
  const std::string& last_checkpoint() const { return last_checkpoint_; }
  /// Its step, or -1. For any thread.
  std::int64_t saved_step() const { return saved_step_; }

 private:
  const std::string path_;
  Communicator& comm_;
  std::optional<RunLock> lock_;  // on rank 0
  std::optional<RunLog> log_;    // on rank 0
  std::optional<Quarantine> quarantine_;
  std::string last_checkpoint_;
  std::atomic<std::int64_t> saved_step_{-1};
};

}  // namespace fastclip
