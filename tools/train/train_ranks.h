#pragma once

#include <string>
#include <vector>

#include "comm/launch.h"
#include "trainer/config/config.h"

namespace fastclip {

/// The arguments of `fastclip train`.
struct TrainRequest {
  std::string config_path;
  std::vector<std::string> overrides;
  std::string command;  ///< as typed, for the run's records
};

/// Starts `ranks` processes on this host and waits for them. Throws ConfigError for an invalid
/// config, before any process starts.
int TrainLocalRanks(const TrainRequest& request, int ranks);

/// Trains as the rank in `launch`, also in a world of one. Returns the exit code. If any rank
/// fails, it prints one line that begins with this rank's number and ends the process; the exit
/// code is 75 if another rank failed, so a launcher can restart.
int TrainAsRank(const TrainRequest& request, const Launch& launch);

}  // namespace fastclip
