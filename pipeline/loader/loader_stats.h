#pragma once

#include <cstdint>

namespace fastclip {

/// What each stage did so far. Seconds are summed over the stage's threads.
struct LoaderStats {
  struct Stage {
    std::int64_t items = 0;
    std::int64_t bytes = 0;
    double busy_seconds = 0;
  };
  Stage read, decode, resize, tokenize;
  double blocked_seconds = 0;  ///< readers waited, as enough is made ahead
  double starved_seconds = 0;  ///< the consumer waited in Next()
  int threads = 0;
  int io_threads = 0;
  int queued_records = 0;  ///< read and not yet made into a row, now
  int ready_batches = 0;   ///< complete and not yet asked for, now
};

}  // namespace fastclip
