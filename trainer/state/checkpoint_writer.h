#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "comm/communicator.h"
#include "trainer/state/checkpoint.h"
#include "trainer/state/host_copy.h"

namespace fastclip {

/// Writes the checkpoints of a run, one at a time.
///
/// In the background, a thread writes a copy of the tensors while training goes on. It calls no
/// collective: each rank's thread writes that rank's files, and Advance() gives the folder its name
/// after all ranks have found theirs complete. One rank alone has nobody to agree with: its thread
/// does it all. All ranks make the same calls in the same order, except HasNews().
class CheckpointWriter {
 public:
  enum class How { kAtOnce, kInBackground };

  /// `comm` is borrowed.
  CheckpointWriter(std::string run_folder, Communicator& comm,
                   HostCopy::FreeMemory free_memory = AvailableMemory);
  /// Alone, waits until the checkpoint is written. With other ranks, which may be gone, gives it
  /// up.
  ~CheckpointWriter();

  /// Writes RUN/checkpoints/step_N (N = meta.step), replacing one of that name, then removes
  /// checkpoints older than the newest `keep_last` (at least 2). `meta` and `content.model` are
  /// rank 0's. On failure (such as a full disk) throws std::runtime_error on all ranks, with the
  /// cause and the rank; existing checkpoints are then unchanged. A collective.
  ///
  /// kInBackground: returns once the tensors are copied, and Advance() or Finish() report the rest.
  /// Returns false if a rank has no memory for a copy: then it was written at once. REQUIRES:
  /// !writing().
  bool Save(const CheckpointMeta& meta, const CheckpointContent& content, int keep_last, How how);

  /// Whether a checkpoint is being written; the same on all ranks.
  bool writing() const { return draft_ != nullptr; }
  /// Its step, or -1.
  std::int64_t writing_step() const;
  /// Whether this rank has done its part, once for each part: all should soon call Advance().
  bool HasNews();
  /// Takes note of what is done; does not wait if no rank failed. Throws as Save() does. A
  /// collective.
  void Advance();
  /// Waits until the checkpoint is complete. Throws as Save() does. A collective.
  void Finish();

  /// The checkpoint from which the run resumes counts as written.
  void GoOnFrom(const FoundCheckpoint& found);
  /// Path of the newest complete checkpoint; empty: none yet.
  const std::string& last() const { return last_; }
  /// Step of the newest complete checkpoint, or -1. Thread-safe.
  std::int64_t saved_step() const { return saved_step_; }

 private:
  struct Draft;
  enum class Progress : std::int64_t { kAtWork, kDone, kFailed };

  bool alone() const { return comm_.world_size() == 1; }
  void Prepare();
  bool CopyToHost();
  void StartWriting();
  void StartCompleting();
  void Complete(const Draft& draft);
  Progress Look();
  void AwaitAll();
  [[noreturn]] void Fail(const std::exception& error);

  const std::string run_folder_;
  Communicator& comm_;
  HostCopy copy_;
  std::string last_;
  std::atomic<std::int64_t> saved_step_{-1};
  std::unique_ptr<Draft> draft_;  // last: its end waits for the thread, which uses the others
};

}  // namespace fastclip
