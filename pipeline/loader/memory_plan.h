#pragma once

#include <cstdint>

#include "pipeline/loader/loader_options.h"

namespace fastclip {

/// How a loader divides its memory.
struct MemoryPlan {
  int batches = 0;           ///< made ahead
  std::int64_t records = 0;  ///< bytes of records that are read, waiting, or being decoded
};

/// For batches of `rows` rows, plus the `held` ones that the consumer holds. Without a limit
/// (memory_bytes 0): options.prefetch batches and 256 MiB of records. Throws std::invalid_argument
/// with the minimum if the limit is too small.
MemoryPlan PlanMemory(const LoaderOptions& options, int rows, int held = 1);

}  // namespace fastclip
