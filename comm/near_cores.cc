#include "comm/near_cores.h"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>
#include <system_error>

namespace fastclip {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kEnoughCores = 8;  // of a rank, to feed a GPU

bool HasSeveralNodes(const fs::path& sys) {
  std::error_code absent;
  int nodes = 0;
  for (const auto& entry : fs::directory_iterator(sys / "devices/system/node", absent)) {
    const std::string name = entry.path().filename();
    nodes += name.starts_with("node") && name.size() > 4 && name[4] >= '0' && name[4] <= '9';
  }
  return nodes > 1;
}

std::vector<int> LocalCores(const fs::path& sys, const std::string& pci) {
  std::string list;
  std::ifstream file(sys / "bus/pci/devices" / pci / "local_cpulist");
  std::getline(file, list);
  return ParseCpuList(list);
}

/// "0-3,8".
std::string CpuList(const std::vector<int>& cores) {
  std::string text;
  for (std::size_t i = 0; i < cores.size();) {
    std::size_t last = i;
    while (last + 1 < cores.size() && cores[last + 1] == cores[last] + 1) ++last;
    text += fmt::format("{}{}", text.empty() ? "" : ",", cores[i]);
    if (last > i) text += fmt::format("-{}", cores[last]);
    i = last + 1;
  }
  return text;
}

}  // namespace

std::vector<int> ParseCpuList(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  std::vector<int> numbers;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at != end) {
    int first = 0;
    auto read = std::from_chars(at, end, first);
    if (read.ec != std::errc() || first < 0) return {};
    int last = first;
    if (read.ptr != end && *read.ptr == '-') {
      read = std::from_chars(read.ptr + 1, end, last);
      if (read.ec != std::errc() || last < first || last >= CPU_SETSIZE) return {};
    }
    if (last >= CPU_SETSIZE) return {};
    for (int number = first; number <= last; ++number) numbers.push_back(number);
    if (read.ptr == end) break;
    if (*read.ptr != ',') return {};
    at = read.ptr + 1;
    if (at == end) return {};
  }
  std::ranges::sort(numbers);
  return numbers;
}

std::vector<int> AllowedCores() {
  cpu_set_t set;
  std::vector<int> cores;
  // Fails on hosts with more cores than the set has room for.
  if (sched_getaffinity(0, sizeof set, &set) != 0) return cores;
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(core, &set)) cores.push_back(core);
  }
  return cores;
}

HostCores CoresNear(const fs::path& sys, const std::vector<int>& allowed,
                    const std::vector<std::string>& gpus, std::size_t own) {
  HostCores all{.cores = static_cast<int>(allowed.size()), .ranks = static_cast<int>(gpus.size())};
  if (!HasSeveralNodes(sys) || own >= gpus.size()) return all;
  const std::vector<int> local = LocalCores(sys, gpus[own]);
  if (local.empty()) {
    all.line = fmt::format("not pinned: the NUMA node of GPU {} is unknown", gpus[own]);
    return all;
  }
  std::vector<int> near;
  std::ranges::set_intersection(local, allowed, std::back_inserter(near));
  if (near.size() == allowed.size()) return all;
  if (near.empty()) {
    all.line = fmt::format("not pinned: this process may use none of the cores next to GPU {} ({})",
                           gpus[own], CpuList(local));
    return all;
  }
  const auto sharing = static_cast<std::size_t>(std::ranges::count_if(
      gpus, [&](const std::string& gpu) { return LocalCores(sys, gpu) == local; }));
  if (near.size() < kEnoughCores * sharing &&
      near.size() * gpus.size() < allowed.size() * sharing) {
    all.line =
        fmt::format("not pinned: {} GPUs are next to the same {} cores", sharing, near.size());
    return all;
  }
  return {
      .cores = static_cast<int>(near.size()),
      .ranks = static_cast<int>(sharing),
      .pinned = near,
      .line = fmt::format("pinned to cores {}, the NUMA node of GPU {}", CpuList(near), gpus[own])};
}

bool RunOn(const std::vector<int>& cores) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int core : cores) CPU_SET(core, &set);
  return sched_setaffinity(0, sizeof set, &set) == 0;
}

}  // namespace fastclip
