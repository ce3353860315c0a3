#pragma once

#include <string>
#include <vector>

namespace fastclip {

/// Runs this program `ranks` times on this host, with the environment that ReadLaunch() reads, and
/// waits for all. `words` are the arguments after the program's name. Forwards SIGINT, SIGTERM and
/// SIGUSR1 to the ranks. If one rank fails, the others have `patience_seconds` to end and are then
/// killed. Returns the exit code of the first rank that failed by itself (128 + signal number if a
/// signal killed it), else kOtherRankFailed, else 0. Call it before any thread starts. Throws
/// std::runtime_error if a socket or process cannot be created.
int RunLocalRanks(int ranks, const std::vector<std::string>& words, int patience_seconds);

}  // namespace fastclip
