#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace fastclip {

/// Where this process stands among the ranks of a run, as told by whoever started it.
struct Launch {
  int rank = 0;
  int world_size = 1;
  int local_rank = 0;        ///< among the ranks of this host
  int local_world_size = 1;  ///< ranks of this host
  std::string store_host{};  ///< where the ranks meet; empty in a world of one
  std::uint16_t store_port = 0;
  bool store_is_served = false;  ///< by the launcher; otherwise rank 0 serves it
  int store_fd = -1;             ///< a bound socket that rank 0 serves it on; -1: none
  std::string launcher{};        ///< "torchrun", "Open MPI", …; empty: none
};

/// Reads what torchrun, `fastclip train --ranks`, Open MPI, MPICH and SLURM put into the
/// environment, in this order: the first that is there counts. `get` is getenv, or a test's. A
/// world of one where there is nothing. Throws std::runtime_error naming the variable that is
/// missing or cannot be.
Launch ReadLaunch(const std::function<const char*(const char*)>& get);

/// This host's name, "localhost" where it has none.
std::string HostName();

/// The first host of a SLURM list: "gpu[003-008,012],big1" is "gpu003".
std::string FirstHost(const std::string& node_list);

}  // namespace fastclip
