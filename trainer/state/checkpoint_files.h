#pragma once

#include <cstdint>
#include <map>
#include <stop_token>
#include <string>

#include "trainer/base/file_io.h"
#include "trainer/state/checkpoint.h"

namespace fastclip {

/// The parts of writing a checkpoint, for CheckpointWriter. None is a collective, so a thread may
/// run them while training goes on.

/// Of files in a checkpoint, by name.
using FileDigests = std::map<std::string, FileDigest>;

/// RUN/checkpoints/step_N.
std::string CheckpointPath(const std::string& run_folder, std::int64_t step);

/// Bytes of the tensors that a rank writes.
std::int64_t BytesToWrite(const CheckpointContent& content, int rank);

/// Removes what crashes left, then makes the empty folder in which step_N is written. Throws
/// std::runtime_error if that fails, or if the disk has less than `bytes` free.
void BeginCheckpoint(const std::string& run_folder, std::int64_t step, std::int64_t bytes);

/// Writes and syncs the files of a rank. Throws std::runtime_error with the file and the cause, and
/// at the next tensor after a stop is requested.
FileDigests WriteOwnFiles(const std::string& run_folder, const CheckpointMeta& meta,
                          const CheckpointContent& content, int rank, const std::stop_token& stop);

/// Once the files of all ranks are there: writes checkpoint.json and gives the folder its name.
/// Throws std::runtime_error.
void CompleteCheckpoint(const std::string& run_folder, const CheckpointMeta& meta,
                        const FileDigests& files);

/// Removes step_N as far as it is written. Best effort.
void DropUnfinished(const std::string& run_folder, std::int64_t step);

}  // namespace fastclip
