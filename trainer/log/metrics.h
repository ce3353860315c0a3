#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "pipeline/records/record.h"
#include "trainer/base/file_io.h"

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
  /// a last line without its end. `owed` are lines that a checkpoint kept for it
  /// (CheckpointMeta::metrics_owed). Throws std::runtime_error naming the file and the cause.
  MetricsLog(const std::string& path, std::int64_t keep_bytes, const std::string& owed = "");

  /// Appends a line. Numbers that are not finite become null: JSON has no others. Throws
  /// std::runtime_error where the disk is full; the file then ends with the line before, and this
  /// one is owed().
  void Write(const nlohmann::json& event);
  /// Writes what is owed and syncs the file to the disk, before a checkpoint; returns its length.
  std::int64_t Sync();
  std::int64_t length() const { return file_.length(); }
  /// Lines that could not be written so far.
  const std::string& owed() const { return owed_; }
  /// The last lines: all, or some 64 KiB of them (the first may then lack its beginning).
  std::string Tail() const;

 private:
  void AppendOwed();

  AppendFile file_;
  std::string owed_;
};

}  // namespace fastclip
