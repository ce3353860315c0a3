#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace fastclip {

/// This process's place among the ranks of a run, as set by the launcher.
struct Launch {
  int rank = 0;
  int world_size = 1;
  int local_rank = 0;        ///< among the ranks of this host
  int local_world_size = 1;  ///< ranks of this host
  std::string store_host{};  ///< rendezvous host; empty in a world of one
  std::uint16_t store_port = 0;
  bool store_is_served = false;  ///< by the launcher; otherwise rank 0 serves it
  int store_fd = -1;             ///< a bound socket that rank 0 serves it on; -1: none
  std::string launcher{};        ///< "torchrun", "Open MPI", …; empty: none
};

/// Reads the environment of torchrun, `fastclip train --ranks`, Open MPI, MPICH or SLURM; the first
/// one found counts. Without any, returns a world of one. `get` is getenv, or a test's version.
/// Throws std::runtime_error with the name of a missing or invalid variable.
Launch ReadLaunch(const std::function<const char*(const char*)>& get);

/// This host's name, or "localhost" if it has none.
std::string HostName();

/// The first host of a SLURM list: "gpu[003-008,012],big1" is "gpu003".
std::string FirstHost(const std::string& node_list);

}  // namespace fastclip
