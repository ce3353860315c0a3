#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "trainer/config/config.h"

namespace fastclip {

struct DryRunOptions {
  int ranks = 1;  ///< memory is then that of the largest
  /// Plans for so many records, a number for each source of data.train, before the data exists:
  /// no data is opened. Empty: data.train and the sets of evaluations are.
  std::vector<std::int64_t> samples;
};

struct DryRunReport {
  std::string text;             ///< several lines
  std::int64_t steps_left = 0;  ///< of the run
  std::int64_t rows = 0;        ///< of a step, on the largest rank
};

/// What a run of this config would be, without training a step: model and parameters, epochs and
/// steps, memory, size of the per-sample state and of a checkpoint, what the order reads, and what
/// a resume would change. It makes everything that a start makes but weights and state, and checks
/// what a start checks but the device, which is for the caller: data and the sets of evaluations,
/// weights to start from, the run folder, the space on its disk. Writes nothing, no manifests
/// either. Throws ConfigError or std::runtime_error as a start does.
DryRunReport DryRun(const LoadedConfig& config, const DryRunOptions& options = {});

}  // namespace fastclip
