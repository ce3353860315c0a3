#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace fastclip {

/// Bytes of physical memory of this machine.
std::int64_t PhysicalMemory();

/// Bytes available without swapping, including the page cache, to this machine and within the
/// limits of this process's control groups, as containers have them; 0 if the system does not
/// report it.
std::int64_t AvailableMemory();

/// What the limits of the control groups leave, version 2. `root`: where they are mounted; `group`:
/// this process's, as in /proc/self/cgroup behind "0::". No value if there is no limit.
std::optional<std::int64_t> MemoryLeftInGroups(const std::string& root, const std::string& group);

}  // namespace fastclip
