#pragma once

#include <string>
#include <vector>

namespace fastclip {

/// Runs this very program `ranks` times on this host, with what ReadLaunch() reads in the
/// environment, and waits for all. Words are those after the program's name. SIGINT, SIGTERM and
/// SIGUSR1 go on to the ranks. Where one fails the others are given `patience_seconds` to notice,
/// then are ended. Returns the exit code of the first rank that failed by itself (128 + the number
/// of a signal that killed it), else kOtherRankFailed, else 0. To be called before any thread
/// starts. Throws std::runtime_error where the system refuses a socket or a process.
int RunLocalRanks(int ranks, const std::vector<std::string>& words, int patience_seconds);

}  // namespace fastclip
