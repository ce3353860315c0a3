#include "comm/rank_gpus.h"

#include <fmt/format.h>

#include <fstream>
#include <map>
#include <sstream>
#include <utility>

#include "comm/exchange.h"
#include "comm/launch.h"
#include "comm/rendezvous.h"

namespace fastclip {
namespace {

/// The same in all containers of a machine, whose names may differ; two machines may share a name.
std::string Machine() {
  std::string id;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> id;
  return id.empty() ? HostName() : id;
}

}  // namespace

std::optional<DeviceFault> FaultOf(const std::vector<DeviceOfRank>& ranks) {
  std::map<std::pair<std::string, std::string>, std::vector<int>> users;
  for (int rank = 0; rank < static_cast<int>(ranks.size()); ++rank) {
    const DeviceOfRank& here = ranks[static_cast<std::size_t>(rank)];
    if (here.gpu.empty() != ranks.front().gpu.empty()) {
      const auto device = [](const DeviceOfRank& of) {
        return of.gpu.empty() ? "the CPU" : "a GPU";
      };
      return DeviceFault{
          rank,
          fmt::format("rank {} on host {} uses {}, but rank 0 on host {} uses {}; set "
                      "train.device to the same value on all hosts",
                      rank, here.host, device(here), ranks.front().host, device(ranks.front()))};
    }
    if (!here.gpu.empty()) users[{here.machine, here.gpu}].push_back(rank);
  }
  for (const auto& [place, of] : users) {
    if (of.size() == 1) continue;
    return DeviceFault{
        of[1],
        fmt::format("{} on host {} use the same GPU, {}; start at most one rank per GPU, or "
                    "show each rank another GPU with CUDA_VISIBLE_DEVICES",
                    NameRanks(of), ranks[static_cast<std::size_t>(of[1])].host, place.second)};
  }
  return std::nullopt;
}

void RefuseSharedGpus(Communicator& comm, const std::string& gpu) {
  std::vector<DeviceOfRank> ranks;
  for (const std::string& text :
       GatherTexts(comm, fmt::format("{}\n{}\n{}", Machine(), HostName(), gpu))) {
    std::istringstream lines(text);
    DeviceOfRank& rank = ranks.emplace_back();
    std::getline(lines, rank.machine);
    std::getline(lines, rank.host);
    std::getline(lines, rank.gpu);
  }
  if (const auto fault = FaultOf(ranks)) throw SharedError(fault->rank, fault->text);
}

}  // namespace fastclip
