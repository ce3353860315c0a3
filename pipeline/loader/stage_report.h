#pragma once

#include <string>

#include "pipeline/loader/loader_stats.h"

namespace fastclip {

/// What a loader's stages did between two looks at its stats.
struct StageReport {
  struct Stage {
    double items_per_second = 0;
    double mb_per_second = 0;
    double busy = 0;  ///< threads of it that worked at a time, on average
  };
  Stage read, decode, resize, tokenize;
  double seconds = 0;
  /// Shares of the time, 0 to 1. Reading threads: waiting to put, as enough is made ahead.
  /// Computing threads: waiting to get. The consumer: waiting to get; 1 − starved is the loader's
  /// readiness.
  double readers_blocked = 0;
  double workers_idle = 0;
  double starved = 0;
  int threads = 0;
  int io_threads = 0;
  int queued_records = 0;  ///< read and not yet made into a row, at the second look
  int ready_batches = 0;
};

/// REQUIRES: two looks at one loader, `seconds` > 0 apart.
StageReport ReportBetween(const LoaderStats& before, const LoaderStats& now, double seconds);

/// What holds a run back: the stage whose speed-up would speed up the run.
enum class Bottleneck { kDisk, kDecode, kResize, kTokenize, kUpload, kTraining };
/// "disk", "decode", "resize", "tokenize", "upload", "training".
const char* BottleneckName(Bottleneck limit);

struct StageVerdict {
  Bottleneck limit{};
  std::string text;  ///< "Bottleneck: decode (…). Raise …": what, by how much, what to change
};

/// `uploading`: share of the time, 0 to 1, in which the consumer turned batches into tensors.
StageVerdict Judge(const StageReport& report, double uploading);

}  // namespace fastclip
