#pragma once

#include <cstdint>

namespace fastclip {

/// Bytes of memory that this machine has.
std::int64_t PhysicalMemory();

/// Bytes of it that can be had without swapping, the cache of files among them; 0 where the system
/// does not tell.
std::int64_t AvailableMemory();

}  // namespace fastclip
