#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "pipeline/order/order_plan.h"
#include "pipeline/records/record.h"
#include "trainer/base/named_tensors.h"
#include "trainer/optim/grad_scaler.h"
#include "trainer/state/saved_table.h"

namespace fastclip {

/// A checkpoint is a folder RUN/checkpoints/step_N:
///
///   model.safetensors      parameters and buffers under OpenCLIP's names
///   optimizer.safetensors  the optimizer's named state
///   state_R.safetensors    the sample table of rank R, where the objective has one (StateRows)
///   checkpoint.json        CheckpointMeta, size and XXH3 of each file, and its own XXH3
///
/// It is written as step_N.tmp, synced, and renamed at the end: a folder without the suffix is
/// whole unless the disk damaged it, and the hashes tell.

/// What a resume needs besides tensors.
struct CheckpointMeta {
  std::int64_t step = 0;   ///< steps done; the run goes on with the step of this number
  std::int64_t epoch = 0;  ///< epoch of that step
  OrderOptions order;
  std::uint64_t data_hash = 0;  ///< RecordSource::hash()
  std::string objective;
  std::string mode;
  std::string model;
  std::string model_config;           ///< OpenClipJson() of it; empty: not known
  std::string tokenizer;              ///< its spec; empty: not known
  std::uint64_t vocabulary_hash = 0;  ///< XXH3 of the file that it was read from
  std::optional<GradScaler> scaler;   ///< with precision "amp"
  SkipCounts skips{};                 ///< records skipped since the start of the run
  std::int64_t refused_steps = 0;     ///< steps whose loss or gradient was not finite, all told
  std::int64_t refused_in_a_row = 0;  ///< and how many of them came last
  std::int64_t overflowed_steps = 0;  ///< left out while the gradient scale was too large
  std::int64_t metrics_bytes = 0;     ///< length of metrics.jsonl
  std::string metrics_owed{};         ///< lines that belong behind it: its disk was full
  int threads = 0;                    ///< a resume is equal to the bit with the same number only,
  int world_size = 1;                 ///< and the same number of ranks
  std::map<std::string, std::string> versions;  ///< "fastclip", "torch", …
  /// Each key of the config with its value as TOML, paths absolute; empty: not known.
  std::map<std::string, std::string> config;
};

/// The sample table of some lanes: rows in lane order, then slot order. With the order's numbers,
/// which the file repeats, this tells the SampleIndex of each row.
struct StateRows {
  std::vector<std::string> columns;
  LaneRange lanes;
  std::vector<std::int64_t> lane_sizes;  ///< one a lane; their sum is the number of rows
  at::Tensor values;                     ///< [rows, columns]
};

/// What a rank has to save: rank 0 all of it, the others their part of the sample table.
struct CheckpointContent {
  NamedTensors model;
  NamedTensors optimizer;
  std::optional<StateRows> state;  ///< of this rank; none where the objective has no state
};

/// Writes RUN/checkpoints/step_N (N = meta.step), replacing one of that name, then removes what is
/// older than the newest `keep_last` (2 or more) and what crashes left. Every rank calls it and
/// writes its files at the same time; `meta` and `content.model` are rank 0's. Throws
/// std::runtime_error on all ranks with the cause and the rank, a full disk say; the checkpoints
/// that were there are then untouched.
void SaveCheckpoint(const std::string& run_folder, const CheckpointMeta& meta,
                    const CheckpointContent& content, int keep_last, Communicator& comm);

struct FoundCheckpoint {
  std::string path;
  CheckpointMeta meta;
  /// Newer ones that are damaged or whose weights are not finite, "PATH: reason" each, for the user
  /// to read.
  std::vector<std::string> passed_over;
};
/// The newest checkpoint of a run whose files all match size and hash and whose weights are finite.
/// Nothing where there are no checkpoints; throws std::runtime_error with the reasons where there
/// are some and none will do.
std::optional<FoundCheckpoint> FindNewestCheckpoint(const std::string& run_folder);

/// The numbers of one checkpoint folder, after all its files were checked. Throws
/// std::runtime_error naming the file that is missing or damaged.
CheckpointMeta CheckCheckpoint(const std::string& checkpoint);

/// The numbers alone: the files are not looked at. Throws std::runtime_error.
CheckpointMeta ReadCheckpointMeta(const std::string& checkpoint);

NamedTensors LoadModel(const std::string& checkpoint);
NamedTensors LoadOptimizer(const std::string& checkpoint);
/// The sample table, to read of it what is wanted; nothing where the objective had none. Throws
/// std::runtime_error.
std::optional<SavedTable> OpenTable(const std::string& checkpoint);

/// A model to evaluate or to start from, by what a user types.
struct ModelSource {
  std::string file;  ///< the .safetensors
  std::string run;   ///< the run folder that it belongs to; empty for a bare file
  std::vector<std::string> passed_over;
};
/// RUN (its newest whole checkpoint), RUN/checkpoints/step_N, or FILE.safetensors. Throws
/// std::runtime_error that says what was looked for.
ModelSource ResolveModel(const std::string& run_checkpoint_or_file);

}  // namespace fastclip
