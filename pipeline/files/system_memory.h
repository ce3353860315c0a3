#pragma once

#include <cstdint>

namespace fastclip {

/// Bytes of physical memory of this machine.
std::int64_t PhysicalMemory();

/// Bytes available without swapping, including the page cache; 0 if the system does not report it.
std::int64_t AvailableMemory();

}  // namespace fastclip
