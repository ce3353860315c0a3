#pragma once

#include <optional>
#include <string>
#include <vector>

#include "comm/communicator.h"

namespace fastclip {

/// Where a rank computes.
struct DeviceOfRank {
  std::string machine;  ///< unlike a host's name, different on each machine
  std::string host;     ///< its name
  std::string gpu;      ///< PCI id; empty: the CPU
};

struct DeviceFault {
  int rank = 0;  ///< the one at fault
  std::string text;
};

/// What is wrong with the devices of all ranks, in rank order: two ranks on one GPU, or a GPU for
/// some ranks only.
std::optional<DeviceFault> FaultOf(const std::vector<DeviceOfRank>& ranks);

/// Compares the ranks' devices; `gpu`: PCI id of this rank's, empty on the CPU. Every rank calls
/// it, before any collective of the GPU: NCCL would wait or fail without a name. Throws SharedError
/// on all ranks.
void RefuseSharedGpus(Communicator& comm, const std::string& gpu);

}  // namespace fastclip
