#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "trainer/log/metrics.h"
#include "trainer/log/tensorboard.h"

namespace fastclip {

/// The figures of a run: RUN/metrics.jsonl and RUN/tensorboard/; and RUN/starts.jsonl with one line
/// per start (when, where, by which command and build).
class RunLog {
 public:
  using Scalars = std::vector<std::pair<std::string, double>>;

  /// `keep_bytes`, `step` and `owed` (MetricsLog) are the checkpoint's, 0 for a new run.
  RunLog(const std::string& run_folder, std::int64_t keep_bytes, std::int64_t step,
         const std::string& owed = "");

  /// Whether the end of metrics.jsonl has a line of this event and step.
  bool Has(std::string_view event, std::int64_t step) const;
  /// Scalars that belong together: an object of that name in the line, GROUP/NAME for TensorBoard.
  struct Group {
    std::string name;
    Scalars scalars;
  };

  /// How an event is named for TensorBoard, so that its curves lie over OpenCLIP's.
  struct Board {
    std::string group;     ///< GROUP/NAME
    std::string prefix{};  ///< of the names: "imagenet-zeroshot-val-"
    std::int64_t at = 0;   ///< place on the horizontal axis: the step; the epoch for evaluations
    Scalars more{};        ///< scalars that metrics.jsonl has under other names
  };
  /// A line {"event": event, "step": …, each scalar, each field of `extra`, each group} of
  /// metrics.jsonl. For TensorBoard each scalar as Board says, GROUP/OBJECT/NAME of the objects of
  /// numbers in `extra`, and the groups. Throws std::runtime_error where the disk is full, after
  /// trying both.
  void Write(std::string_view event, std::int64_t step, const Scalars& scalars,
             const nlohmann::json& extra, const Board& board,
             const std::vector<Group>& groups = {});
  /// Syncs metrics.jsonl. Throws as Write() does.
  void Sync() { metrics_.Sync(); }
  const MetricsLog& metrics() const { return metrics_; }

 private:
  MetricsLog metrics_;
  TensorboardWriter board_;
};

/// Appends a line to RUN/starts.jsonl.
void LogStart(const std::string& run_folder, const nlohmann::json& start);

}  // namespace fastclip
