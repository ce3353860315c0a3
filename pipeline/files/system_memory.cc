#include "pipeline/files/system_memory.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

namespace fastclip {
namespace {

/// The number behind `name` in lines such as "MemAvailable:   12345 kB".
std::optional<std::int64_t> NumberIn(const std::string& path, const std::string& name) {
  std::ifstream file(path);
  std::string word;
  for (std::int64_t number = 0; file >> word >> number; file.ignore(1 << 10, '\n')) {
    if (word == name) return number;
  }
  return std::nullopt;
}

std::optional<std::int64_t> NumberOf(const std::string& path) {
  std::int64_t number = 0;
  std::ifstream file(path);
  return file >> number ? std::optional(number) : std::nullopt;  // "max": no limit
}

std::string GroupOfThisProcess() {
  constexpr std::string_view kVersion2 = "0::";
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(kVersion2)) return line.substr(kVersion2.size());
  }
  return "/";
}

}  // namespace

std::int64_t PhysicalMemory() {
  return std::int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE);
}

std::optional<std::int64_t> MemoryLeftInGroups(const std::string& root, const std::string& group) {
  std::optional<std::int64_t> least;
  std::filesystem::path folder = root;
  const auto look = [&] {
    const auto limit = NumberOf(folder / "memory.max"), used = NumberOf(folder / "memory.current");
    if (!limit || !used) return;
    // Files that were read count as used, and give way.
    const std::int64_t files = NumberIn(folder / "memory.stat", "inactive_file").value_or(0);
    const std::int64_t left = std::max<std::int64_t>(*limit - *used + files, 0);
    least = std::min(least.value_or(left), left);
  };
  look();
  for (const std::filesystem::path& part : std::filesystem::path(group).relative_path()) {
    folder /= part;
    look();
  }
  return least;
}

std::int64_t AvailableMemory() {
  const std::int64_t free = NumberIn("/proc/meminfo", "MemAvailable:").value_or(0) << 10;
  const auto left = MemoryLeftInGroups("/sys/fs/cgroup", GroupOfThisProcess());
  return free > 0 && left ? std::min(free, *left) : free;
}

}  // namespace fastclip
