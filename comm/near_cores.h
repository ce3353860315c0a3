#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace fastclip {

/// The numbers of a list as the kernel writes it: "0-3,8" is 0, 1, 2, 3, 8. Empty if it is none.
std::vector<int> ParseCpuList(std::string_view text);

/// The cores that this process may run on.
std::vector<int> AllowedCores();

/// The cores of a host that a rank shares with others.
struct HostCores {
  int cores = 1;
  int ranks = 1;              ///< that share them
  std::vector<int> pinned{};  ///< the cores, if the rank is to run on these alone
  std::string line{};         ///< for the start, about pinning; "" if there is nothing to say
};

/// The cores next to the GPU of local rank `own`: those of its NUMA node that are `allowed`.
/// `gpus`: PCI ids of the GPUs of the host's ranks, in their order. `sys`: /sys.
///
/// All allowed cores, not pinned, if the host has one node, the node of the GPU is unknown, or it
/// has no allowed core; also if the ranks of that node would then have fewer than 8 cores each and
/// less than an even share.
HostCores CoresNear(const std::filesystem::path& sys, const std::vector<int>& allowed,
                    const std::vector<std::string>& gpus, std::size_t own);

/// Lets the calling thread, and threads that it starts later, run on these cores only.
/// Returns whether the system permits it.
bool RunOn(const std::vector<int>& cores);

}  // namespace fastclip
