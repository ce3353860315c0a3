#pragma once

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "comm/communicator.h"
#include "trainer/config/config.h"

namespace fastclip {

/// Checks that named values are the same on all ranks. A collective: every rank passes the same
/// names. Throws std::runtime_error on all ranks, with rank, name, both values and the advice, if
/// one differs from rank 0.
void RefuseDifferences(const std::vector<std::pair<std::string, std::string>>& values,
                       Communicator& comm,
                       const std::string& advice = "start all ranks with the same value");

/// Checks that config and build are the same on all ranks. Keys with KeyInfo::per_host can differ:
/// threads, prefetching, time limits, paths of data, but not whether there are such data.
void RefuseOtherConfigs(const LoadedConfig& config, Communicator& comm);

/// Lanes of each rank: data.lanes_per_rank, or even. Throws ConfigError if they do not fit, with
/// the nearest data.lanes that does, or if a rank has fewer rows than micro-batches.
std::vector<std::int64_t> LanesPerRank(const LoadedConfig& config, const OrderPlan& plan,
                                       int world_size);
std::vector<std::int64_t> RowsPerRank(std::vector<std::int64_t> lanes_per_rank,
                                      const OrderPlan& plan);
/// "8 to 12 rows of a batch each; each step waits for the largest, so the ranks idle 11% of the
/// time".
std::string DescribeRows(const std::vector<std::int64_t>& lanes_per_rank, const OrderPlan& plan);
/// Fraction of the ranks' time lost to uneven lanes, 0 to 1: a step waits for the largest rank.
double IdleShare(const std::vector<std::int64_t>& lanes_per_rank);
/// The data.lanes nearest to the plan's that `world_size` ranks share evenly; 0: none divides the
/// batch.
std::int64_t EvenDataLanes(const OrderPlan& plan, int world_size);

/// Raises the timeout of collectives during its lifetime: ranks can differ in how long they open
/// data, evaluate or save. Every rank creates one at the same place.
class Patience {
 public:
  Patience(Communicator& comm, std::int64_t seconds)
      : comm_(comm), before_(comm.SetTimeout(std::chrono::seconds(seconds))) {}
  ~Patience() { comm_.SetTimeout(before_); }
  Patience(const Patience&) = delete;
  Patience& operator=(const Patience&) = delete;

 private:
  Communicator& comm_;
  std::chrono::milliseconds before_;
};

/// Runs `open`() on rank 0, then on all others, which find the files that rank 0 wrote.
template <class Open>
auto Rank0First(Communicator& comm, const Open& open) {
  if (comm.rank() != 0) comm.Barrier();
  auto opened = open();
  if (comm.rank() == 0) comm.Barrier();
  return opened;
}

}  // namespace fastclip
