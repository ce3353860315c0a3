#pragma once

#include <string>
#include <vector>

#include "comm/launch.h"
#include "trainer/config/config.h"

namespace fastclip {

/// What `fastclip train` was asked to do.
struct TrainRequest {
  std::string config_path;
  std::vector<std::string> overrides;
  std::string command;  ///< as typed, for the run's records
};

/// Whether the device of a config is there, for so many ranks of this host. Before any other use of
/// LibTorch. Throws std::runtime_error that says what to do.
void CheckDevice(const LoadedConfig& config, int ranks);

/// Starts `ranks` processes on this host and waits for them. Throws ConfigError where the config
/// cannot be used, before anything starts.
int TrainLocalRanks(const TrainRequest& request, int ranks);

/// Trains as the rank that `launch` says; a world of one too. Returns the exit code. Where another
/// rank fails, or this one does, it prints one line that begins with this rank's number, and ends
/// the process: 75 for another's failure, a launcher may try again.
int TrainAsRank(const TrainRequest& request, const Launch& launch);

}  // namespace fastclip
