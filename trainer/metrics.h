#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "pipeline/record.h"
#include "trainer/file_io.h"

namespace fastclip {

/// {"missing": 2, …}: the causes that occurred, as metrics.jsonl and `fastclip eval --json` name
/// them.
nlohmann::ordered_json NamedSkips(const SkipCounts& skips);

/// metrics.jsonl: one JSON object a line, one line an event. A line is in the file, whole, when
/// Write returns. Not thread-safe.
class MetricsLog {
 public:
  /// Opens or makes `path` and cuts it back to `keep_bytes` (CheckpointMeta::metrics_bytes; 0 for a
  /// new run), so that a resumed run repeats no line. A file that is shorter is kept as it is, less
  /// a last line without its end. Throws std::runtime_error naming the file and the cause.
  MetricsLog(const std::string& path, std::int64_t keep_bytes);

  /// Appends a line. Numbers that are not finite become null: JSON has no others. Throws
  /// std::runtime_error where the disk is full; the file then ends with the line before.
  void Write(const nlohmann::json& event);
  /// Syncs the file to the disk, before a checkpoint; returns its length for that checkpoint.
  std::int64_t Sync();
  /// The last lines: all, or some 64 KiB of them (the first may then lack its beginning).
  std::string Tail() const;

 private:
  AppendFile file_;
};

}  // namespace fastclip
