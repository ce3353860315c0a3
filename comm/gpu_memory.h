#pragma once

#include <cstdint>
#include <string>

#include "comm/gpu_driver.h"

namespace fastclip {

struct GpuMemory {
  std::int64_t free = 0, total = 0;  ///< bytes
};

/// Memory of the visible GPU `index`, as the driver says. It makes the context that LibTorch then
/// uses. Throws std::runtime_error if another process fills the GPU or keeps it for itself.
GpuMemory AskGpuMemory(const char* library, int index, const Gpu& gpu);

/// A warning if other processes take much of the GPU, or "". Throws std::runtime_error if they fill
/// it.
std::string CheckGpuMemory(const GpuMemory& memory, int index, const Gpu& gpu);

}  // namespace fastclip
