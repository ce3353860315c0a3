#pragma once

#include <cstdint>

#include "pipeline/loader/loader_options.h"

namespace fastclip {

/// How a loader shares out its memory.
struct MemoryPlan {
  int batches = 0;           ///< made ahead
  std::int64_t records = 0;  ///< bytes of records that are read, waiting, or being decoded
};

/// For batches of `rows` rows, of which the consumer holds one besides. Without a limit
/// (memory_bytes 0): options.prefetch batches and 256 MiB of records. Throws std::invalid_argument
/// with the least that works where the limit is too small.
MemoryPlan PlanMemory(const LoaderOptions& options, int rows);

}  // namespace fastclip
