#pragma once

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "comm/communicator.h"
#include "trainer/config/config.h"

namespace fastclip {

/// What must be the same on all ranks, by name. Every rank calls it with the same names; throws
/// std::runtime_error on all where one differs from rank 0, naming rank, name and both values.
void RefuseDifferences(const std::vector<std::pair<std::string, std::string>>& values,
                       Communicator& comm);

/// Config and build of all ranks. Keys with KeyInfo::per_host may differ: threads, prefetching,
/// time limits.
void RefuseOtherConfigs(const LoadedConfig& config, Communicator& comm);

/// Lanes of each rank: data.lanes_per_rank, or even. Throws ConfigError where they do not fit,
/// naming the nearest data.lanes that does, or leave a rank fewer rows than micro-batches.
std::vector<std::int64_t> LanesPerRank(const LoadedConfig& config, const OrderPlan& plan,
                                       int world_size);
std::vector<std::int64_t> RowsPerRank(std::vector<std::int64_t> lanes_per_rank,
                                      const OrderPlan& plan);
/// "8 to 12 rows of a batch each; a step waits for the largest: 11% of the ranks' time idles".
std::string DescribeRows(const std::vector<std::int64_t>& lanes_per_rank, const OrderPlan& plan);
/// Share of the ranks' time that uneven lanes leave idle, 0 to 1: a step waits for the largest.
double IdleShare(const std::vector<std::int64_t>& lanes_per_rank);
/// A data.lanes near the plan's that `world_size` ranks share evenly; 0: no divisor of the batch
/// does.
std::int64_t EvenDataLanes(const OrderPlan& plan, int world_size);

/// While it lives, ranks wait longer for each other: they open data, evaluate or save, and need not
/// be alike in that. Every rank makes one at the same place.
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

/// `open`() on rank 0, then on all others: the first writes what the others find.
template <class Open>
auto Rank0First(Communicator& comm, const Open& open) {
  if (comm.rank() != 0) comm.Barrier();
  auto opened = open();
  if (comm.rank() == 0) comm.Barrier();
  return opened;
}

}  // namespace fastclip
