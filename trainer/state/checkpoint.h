#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/order/order_plan.h"
#include "pipeline/records/record.h"
#include "trainer/base/named_tensors.h"
#include "trainer/optim/grad_scaler.h"
#include "trainer/state/saved_table.h"

namespace fastclip {

/// A checkpoint is a folder RUN/checkpoints/step_N:
///
///   model.safetensors      parameters and buffers, with OpenCLIP's names; or, of an adapted model,
///   adapter_model.safetensors and adapter_config.json, an adapter folder
///   optimizer.safetensors  the optimizer's named state
///   state_R.safetensors    the sample table of rank R, if the objective has one (StateRows)
///   checkpoint.json        CheckpointMeta, size and XXH3 of each file, and its own XXH3
///
/// It is written as step_N.tmp, synced, and renamed at the end (CheckpointWriter). A folder without
/// the suffix is complete unless the disk damaged it, which the hashes detect.

/// Everything a resume needs besides tensors.
struct CheckpointMeta {
  std::int64_t step = 0;   ///< steps done, and the number of the next step
  std::int64_t epoch = 0;  ///< epoch of that step
  OrderOptions order;
  std::uint64_t data_hash = 0;  ///< RecordSource::hash()
  std::string objective;
  std::string mode;
  std::string model;
  std::string model_config;                 ///< OpenClipJson() of it; empty: unknown
  std::string tokenizer;                    ///< its spec; empty: unknown
  std::uint64_t vocabulary_hash = 0;        ///< XXH3 of the vocabulary file
  std::optional<GradScaler::State> scaler;  ///< with precision "amp"
  SkipCounts skips{};                       ///< records skipped since the start of the run
  std::int64_t refused_steps = 0;     ///< steps whose loss or gradient was not finite, in total
  std::int64_t refused_in_a_row = 0;  ///< of these, the number at the end
  std::int64_t overflowed_steps = 0;  ///< skipped because the gradient scale was too large
  std::int64_t metrics_bytes = 0;     ///< length of metrics.jsonl
  std::string metrics_owed{};         ///< lines still to append: the disk was full
  int threads = 0;                    ///< a resume is bit-identical only with the same number
  int world_size = 1;                 ///< of threads and of ranks
  std::map<std::string, std::string> versions;  ///< "fastclip", "torch", …
  /// Each key of the config with its value as TOML, paths absolute; empty: unknown.
  std::map<std::string, std::string> config;
};

/// The sample table of some lanes: rows ordered by lane, then slot. Together with the OrderOptions,
/// which the file also has, this gives the SampleIndex of each row.
struct StateRows {
  std::vector<std::string> columns;
  LaneRange lanes;
  std::vector<std::int64_t> lane_sizes;  ///< one per lane; their sum is the number of rows
  at::Tensor values;                     ///< [rows, columns]
};

/// What a rank saves: rank 0 everything, the others their part of the sample table.
struct CheckpointContent {
  NamedTensors model;
  NamedTensors optimizer;
  std::optional<StateRows> state{};  ///< of this rank; none if the objective has no state
  /// Of an adapted model, whose `model` then holds what an adapter folder does: the metadata of its
  /// file, and the config beside it.
  std::map<std::string, std::string> adapter_metadata{};
  std::string adapter_config{};
};

/// Removes checkpoints older than the newest `keep_last` up to `saved_step`, which is complete, and
/// what replaced ones left. Best effort: errors are ignored.
void RemoveOldCheckpoints(const std::string& run_folder, std::int64_t saved_step, int keep_last);

struct FoundCheckpoint {
  std::string path;
  CheckpointMeta meta;
  /// Newer ones that were skipped because they are damaged or not finite, for the user: "PATH:
  /// reason" each.
  std::vector<std::string> passed_over;
};
/// The newest checkpoint of a run whose files all match size and hash and whose weights are finite;
/// nothing if there are no checkpoints. Throws std::runtime_error with the reasons if there are
/// checkpoints but none is usable.
std::optional<FoundCheckpoint> FindNewestCheckpoint(const std::string& run_folder);

/// Checks all files of a checkpoint and returns its meta. Throws std::runtime_error with the file
/// that is missing or damaged.
CheckpointMeta CheckCheckpoint(const std::string& checkpoint);

/// Reads the meta without checking the files. Throws std::runtime_error.
CheckpointMeta ReadCheckpointMeta(const std::string& checkpoint);

/// Whether it holds an adapter, not a whole model.
bool IsAdapter(const std::string& checkpoint);
/// The model's tensors, or the adapter's.
NamedTensors LoadModel(const std::string& checkpoint);
NamedTensors LoadOptimizer(const std::string& checkpoint);
/// The sample table, read on demand; nothing if the objective has none. Throws std::runtime_error.
std::optional<SavedTable> OpenTable(const std::string& checkpoint);

/// A model to evaluate or to start from, as given by the user.
struct ModelSource {
  std::string file;         ///< the .safetensors
  bool is_adapter = false;  ///< the file is of an adapter folder
  std::string run{};        ///< its run folder; empty for a single file
  std::vector<std::string> passed_over;
};
/// Resolves RUN (its newest valid checkpoint), RUN/checkpoints/step_N, or FILE.safetensors. Throws
/// std::runtime_error that lists these forms.
ModelSource ResolveModel(const std::string& run_checkpoint_or_file);

}  // namespace fastclip
