#pragma once

#include <cstdint>

namespace fastclip {

/// Work of each stage so far. Seconds are summed over the stage's threads.
struct LoaderStats {
  struct Stage {
    std::int64_t items = 0;
    std::int64_t bytes = 0;
    double busy_seconds = 0;
  };
  Stage read, decode, resize, tokenize;
  double blocked_seconds = 0;  ///< readers waited because enough is loaded ahead
  double starved_seconds = 0;  ///< the consumer waited in Next()
  int threads = 0;
  int io_threads = 0;
  int queued_records = 0;  ///< currently read but not yet a row
  int ready_batches = 0;   ///< currently complete but not yet requested
};

}  // namespace fastclip
