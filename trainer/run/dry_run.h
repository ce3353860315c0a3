#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "trainer/config/config.h"

namespace fastclip {

struct DryRunOptions {
  int ranks = 1;  ///< memory is reported for the largest
  /// Number of records of each source of data.train, to plan before the data exists: no data is
  /// opened. Empty: opens data.train and the evaluation sets.
  std::vector<std::int64_t> samples;
  /// Plans for a GPU with so much memory, whatever the device; 0: for the device, and if that is a
  /// GPU for what the driver says it has.
  std::int64_t gpu_bytes = 0;
};

struct DryRunReport {
  std::string text;             ///< several lines
  std::int64_t steps_left = 0;  ///< of the run
  std::int64_t rows = 0;        ///< per step, on the largest rank
};

/// Describes a run of this config without training a step: model and parameters, epochs and steps,
/// memory, size of the per-sample state and of a checkpoint, bytes read, and what a resume would
/// change. Creates everything that a start creates except weights and state, and checks everything
/// that a start checks except the device (the caller's task): data and evaluation sets, initial
/// weights, run folder, disk space. Writes nothing, not even manifests. Throws ConfigError or
/// std::runtime_error like a start.
DryRunReport DryRun(const LoadedConfig& config, const DryRunOptions& options = {});

}  // namespace fastclip
