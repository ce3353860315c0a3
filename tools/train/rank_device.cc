#include "tools/train/rank_device.h"

#include <unistd.h>

#include <algorithm>
#include <string>
#include <vector>

#include "comm/cuda_library.h"
#include "comm/near_cores.h"
#include "tools/cli/tell.h"
#include "trainer/config/core_share.h"

namespace fastclip {

HostOfRun ThisHost(int ranks, int local_rank) {
  return {.ranks = ranks,
          .choose_device = [] { return ChooseDevice(); },
          .cores_near_gpu =
              [ranks, local_rank] {
                // Where a scheduler shows each rank its own GPU alone, the others' are not known.
                const std::vector<Gpu>& gpus = AskGpuDriver().gpus;
                std::vector<std::string> of_ranks;
                for (std::size_t rank = 0; rank < gpus.size() && std::ssize(of_ranks) < ranks;
                     ++rank) {
                  of_ranks.push_back(gpus[rank].pci);
                }
                const std::vector<int> allowed = AllowedCores();
                const bool own_alone = gpus.size() == 1;
                HostCores cores = CoresNear("/sys", allowed, of_ranks,
                                            own_alone ? 0 : static_cast<std::size_t>(local_rank));
                if (own_alone && ranks > 1 && !allowed.empty()) {  // supposed to be spread evenly
                  cores.ranks = std::max(ranks * cores.cores / static_cast<int>(allowed.size()), 1);
                }
                return cores;
              }};
}

HostOfRun ThisHost(const Launch& launch) {
  HostOfRun host = ThisHost(launch.local_world_size, launch.local_rank);
  // torchrun, like train --ranks, leaves all cores to all ranks.
  const bool may_bind = !launch.launcher.empty() && launch.launcher != "torchrun";
  const auto online = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  if (!may_bind || RanksOnCores(UsableCores(), online, host.ranks) != 1) return host;
  host.ranks = 1;
  host.cores_near_gpu = [near = host.cores_near_gpu] {
    HostCores cores = near();
    cores.ranks = 1;
    return cores;
  };
  return host;
}

RankDevice::RankDevice(const LoadedConfig& config) : config_(config) {
  try {
    if (config->train.device == "cuda") LoadCuda();
  } catch (const std::exception&) {
    failure_ = std::current_exception();
  }
}

std::optional<OwnGpu> RankDevice::Open(const Launch& launch) const {
  if (failure_) std::rethrow_exception(failure_);
  if (config_->train.device != "cuda") return std::nullopt;
  if (const std::vector<int>& cores = config_.cores().pinned; !cores.empty()) RunOn(cores);
  const std::string little = CheckOwnGpu(launch.local_rank);
  if (!little.empty()) Tell("warning: rank {}: {}\n", launch.rank, little);
  return UseCudaDevice(launch.local_rank);
}

void RankDevice::Check(int ranks) const {
  if (failure_) std::rethrow_exception(failure_);
  if (config_->train.device == "cuda") RequireGpus(AskGpuDriver(), ranks);
}

}  // namespace fastclip
