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

/// The current state of a run, to compare with a checkpoint of it.
struct RunNow {
  const TrainConfig& config;
  const ConfigValues& values;  ///< of the resolved config
  const ModelConfig& model;
  const OrderPlan& plan;
  /// Hash of the data; empty if it does not exist yet, in a dry run.
  std::optional<std::uint64_t> data_hash;
  const std::vector<ListedFile>& data_files;
  std::uint64_t vocabulary_hash = 0;
};

/// In the message of RefuseOtherRun where the run's own config would do.
inline constexpr const char* kUsesOwnConfig = "resume=true uses the run's own config";

/// Refuses a resume in which a step would get other samples, or the saved state another meaning:
/// other data, order, batch size, objective, model, tokenizer, optimizer or locks. Throws
/// ConfigError with each key, both values, and what to do instead. Values that the checkpoint does
/// not hold are not checked.
void RefuseOtherRun(const FoundCheckpoint& found, const RunNow& now);

/// Lines about an accepted resume: each changed key with its effect, and values that jump at this
/// step. If the checkpoint does not hold its config, RUN/config.toml is used.
std::vector<std::string> DescribeResume(const FoundCheckpoint& found, const RunNow& now);

/// A note that results differ in rounding, for a resume with other threads or ranks; else "".
std::string DescribeRounding(const CheckpointMeta& meta, std::int64_t threads, std::int64_t ranks);

/// For a resume of a run folder without a checkpoint.
std::string NothingToResume(const TrainConfig& config);

/// The command that resumes a run that ended by `failure`. If that names a limit on bad records, or
/// an evaluation that cannot be made, the command changes its key: the run would stop there again.
std::string HowToResume(const TrainConfig& config, const std::string& failure);

/// The config of a resumed run: `config`, with start-only keys from its first start.
TrainConfig ResumedConfig(const FoundCheckpoint& found, const TrainConfig& config);

/// For an error of a resume: which keys that cannot change differ from the run folder's own config,
/// and how to use that; "" if none.
std::string OtherConfigNote(const std::string& run, const ConfigValues& now);

}  // namespace fastclip
