#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/order/order_plan.h"
#include "pipeline/sources/open_source.h"
#include "trainer/config/config_changes.h"
#include "trainer/state/checkpoint.h"

namespace fastclip {

/// What a run is now, to be compared with what a checkpoint of it was.
struct RunNow {
  const TrainConfig& config;
  const ConfigValues& values;  ///< of the resolved config
  const ModelConfig& model;
  const OrderPlan& plan;
  /// Of the data; empty: it is not there yet, in a dry run.
  std::optional<std::uint64_t> data_hash;
  const std::vector<ListedFile>& data_files;
  std::uint64_t vocabulary_hash = 0;
};

/// Refuses a resume in which a step would get other samples, or the saved state another meaning:
/// other data, order, batch size, objective, model, tokenizer, optimizer or locks. Throws
/// ConfigError that names each key with both values, and says what to do instead. What a checkpoint
/// does not tell is taken at the user's word.
void RefuseOtherRun(const FoundCheckpoint& found, const RunNow& now);

/// What the user should know of a resume that is not refused: each changed key with what the change
/// means, and what jumps at this step. A checkpoint that does not tell its config is compared with
/// RUN/config.toml.
std::vector<std::string> DescribeResume(const FoundCheckpoint& found, const RunNow& now);

/// Of a resume with other threads or ranks: that its results differ from those without the stop in
/// rounding. Else "".
std::string DescribeRounding(const CheckpointMeta& meta, std::int64_t threads, std::int64_t ranks);

/// What a resumed run is computed with: `config`, and of the keys that count at a start alone what
/// the start had.
TrainConfig ResumedConfig(const FoundCheckpoint& found, const TrainConfig& config);

}  // namespace fastclip
