#include "comm/launch.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string_view>

namespace fastclip {
namespace {

constexpr std::int64_t kDefaultPort = 29500;  // c10d's

class Environment {
 public:
  explicit Environment(const std::function<const char*(const char*)>& get) : get_(get) {}

  std::optional<std::string> Text(const char* name) const {
    const char* value = get_(name);
    if (value == nullptr || *value == '\0') return std::nullopt;
    return std::string(value);
  }
  bool Has(const char* name) const { return Text(name).has_value(); }

  std::optional<std::int64_t> Number(const char* name, std::int64_t least,
                                     std::int64_t most) const {
    const auto text = Text(name);
    if (!text) return std::nullopt;
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
    if (error != std::errc() || end != text->data() + text->size() || value < least ||
        value > most) {
      throw std::runtime_error(
          fmt::format("environment variable {} = '{}' is not an integer from {} to {}", name, *text,
                      least, most));
    }
    return value;
  }

 private:
  const std::function<const char*(const char*)>& get_;
};

constexpr std::int64_t kMostRanks = 1 << 20;

struct Names {
  const char *launcher, *rank, *world_size, *local_rank, *local_world_size;
};
constexpr Names kLaunchers[] = {
    {"torchrun", "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"},
    {"Open MPI", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK",
     "OMPI_COMM_WORLD_LOCAL_SIZE"},
    {"MPICH", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"},
    // SLURM_STEP_NUM_TASKS is there inside a step alone: a batch script has a SLURM_PROCID too.
    {"SLURM", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", nullptr},
};

// "2(x3),1": three nodes with two tasks, then one with one.
std::int64_t TasksOnNode(const std::string& tasks_per_node, std::int64_t node) {
  for (std::size_t at = 0; at < tasks_per_node.size();) {
    const std::size_t comma = std::min(tasks_per_node.find(',', at), tasks_per_node.size());
    const std::string part = tasks_per_node.substr(at, comma - at);
    const std::size_t times = part.find("(x");
    node -= times == std::string::npos ? 1 : std::atol(part.c_str() + times + 2);
    if (node < 0) return std::max(1L, std::atol(part.c_str()));
    at = comma + 1;
  }
  return 1;
}

std::int64_t LocalWorldSize(const Environment& environment, const Names& names,
                            std::int64_t world) {
  if (names.local_world_size != nullptr) {
    return environment.Number(names.local_world_size, 1, world).value_or(1);
  }
  return TasksOnNode(environment.Text("SLURM_STEP_TASKS_PER_NODE").value_or("1"),
                     environment.Number("SLURM_NODEID", 0, kMostRanks).value_or(0));
}

/// REQUIRES: rank and world size are there.
void ReadRanks(const Environment& environment, const Names& names, Launch& launch) {
  const std::int64_t world = environment.Number(names.world_size, 1, kMostRanks).value();
  const std::int64_t rank = environment.Number(names.rank, 0, world - 1).value();
  launch.launcher = names.launcher;
  launch.world_size = static_cast<int>(world);
  launch.rank = static_cast<int>(rank);
  launch.local_world_size = static_cast<int>(LocalWorldSize(environment, names, world));
  launch.local_rank =
      static_cast<int>(environment.Number(names.local_rank, 0, world - 1).value_or(0));
}

void ReadStore(const Environment& environment, Launch& launch) {
  const bool slurm = launch.launcher == "SLURM";
  const auto address = environment.Text("MASTER_ADDR");
  const auto nodes = environment.Text("SLURM_STEP_NODELIST");
  if (address) {
    launch.store_host = *address;
  } else if (slurm && nodes) {
    launch.store_host = FirstHost(*nodes);
  } else if (launch.local_world_size == launch.world_size) {
    launch.store_host = "127.0.0.1";
  } else {
    throw std::runtime_error(fmt::format(
        "{} started {} ranks without rank 0's address; set MASTER_ADDR to its host on all ranks",
        launch.launcher, launch.world_size));
  }
  std::int64_t port = kDefaultPort;
  // Two jobs of one host must not meet at one port; a job's number keeps them apart.
  if (const auto job = environment.Number("SLURM_JOB_ID", 0, INT64_MAX); slurm && job) {
    port = 20000 + *job % 10000;
  }
  launch.store_port =
      static_cast<std::uint16_t>(environment.Number("MASTER_PORT", 1, 65535).value_or(port));
  launch.store_is_served = environment.Text("TORCHELASTIC_USE_AGENT_STORE") == "True";
  if (launch.rank == 0) {
    launch.store_fd =
        static_cast<int>(environment.Number("FASTCLIP_STORE_FD", 3, 1 << 20).value_or(-1));
  }
}

}  // namespace

std::string HostName() {
  std::array<char, 256> name{};
  const bool known = gethostname(name.data(), name.size() - 1) == 0 && name[0] != '\0';
  return known ? name.data() : "localhost";
}

std::string FirstHost(const std::string& node_list) {
  const std::size_t open = node_list.find('[');
  const std::size_t comma = node_list.find(',');
  if (open == std::string::npos || comma < open) return node_list.substr(0, comma);
  const std::size_t close = node_list.find(']', open);
  const std::string numbers = node_list.substr(open + 1, close - open - 1);
  std::string host = node_list.substr(0, open) + numbers.substr(0, numbers.find_first_of("-,"));
  if (close != std::string::npos) {
    const std::string rest = node_list.substr(close + 1);
    host += rest.substr(0, rest.find(','));
  }
  return host;
}

Launch ReadLaunch(const std::function<const char*(const char*)>& get) {
  const Environment environment(get);
  Launch launch;
  for (const Names& names : kLaunchers) {
    if (!environment.Has(names.rank) || !environment.Has(names.world_size)) continue;
    // SLURM's pmi2 sets PMI_RANK too, and knows nothing of hosts.
    if (names.launcher == std::string_view("MPICH") && !environment.Has(names.local_rank)) continue;
    ReadRanks(environment, names, launch);
    if (launch.world_size > 1) ReadStore(environment, launch);
    break;
  }
  return launch;
}

}  // namespace fastclip
