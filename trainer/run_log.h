#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pipeline/record.h"
#include "trainer/metrics.h"
#include "trainer/tensorboard.h"

namespace fastclip {

/// What a run writes down about itself: RUN/metrics.jsonl, RUN/tensorboard/, and RUN/starts.jsonl
/// with one line a start (when, where, by which command and build).
class RunLog {
 public:
  using Scalars = std::vector<std::pair<std::string, double>>;

  /// `keep_bytes` and `step` are the checkpoint's, 0 for a new run.
  RunLog(const std::string& run_folder, std::int64_t keep_bytes, std::int64_t step);

  /// A line {"event": event, "step": …, each scalar, each field of `extra`}, and EVENT/NAME scalars
  /// for TensorBoard.
  void Write(std::string_view event, std::int64_t step, const Scalars& scalars,
             const nlohmann::json& extra);
  std::int64_t Sync() { return metrics_.Sync(); }

 private:
  MetricsLog metrics_;
  TensorboardWriter board_;
};

/// {"no_image": 3, …}, of the causes that there are.
nlohmann::json SkipsJson(const SkipCounts& skips);

/// Appends a line to RUN/starts.jsonl.
void LogStart(const std::string& run_folder, const nlohmann::json& start);

}  // namespace fastclip
