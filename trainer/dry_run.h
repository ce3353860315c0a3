#pragma once

#include <string>

#include "trainer/config.h"

namespace fastclip {

/// What a run of this config would be, without training a step: model and parameters, epochs and
/// steps, memory, size of the per-sample state and of a checkpoint, and what the order reads. It
/// opens the data, whose manifest it may write beside the shards, and makes no run folder.
/// Config, data, model and objective are checked as at a real start: throws ConfigError or
/// std::runtime_error. Several lines.
/// On `ranks` ranks, memory is that of the largest.
std::string DryRun(const LoadedConfig& config, int ranks = 1);

}  // namespace fastclip
