#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <vector>

#include "pipeline/loader/batch_feed.h"
#include "pipeline/loader/loader_options.h"
#include "pipeline/loader/loader_runtime.h"
#include "pipeline/records/known_bad.h"
#include "pipeline/records/record_source.h"

namespace fastclip {

SkipCounts CountsOf(const std::vector<SkippedRecord>& skipped);
/// The error of a run with too many bad records in a row; `last` is the index of the last one.
std::runtime_error TooManySkips(const SkipCounts& counts, SampleIndex last);

/// The search for a row's record: attempt by attempt until one can be used.
struct RowSearch {
  std::int64_t batch = 0;
  int row = 0;
  std::int64_t attempt = 0;
  std::vector<SkippedRecord> skipped{};  ///< by the attempts so far, without holes
  RowPlan plan{};                        ///< of the record in `block`
  RecordBlock block{};
  std::int64_t bytes = 0;  ///< of that record and of decoding it
};

/// Reads the record of a row, or if it is bad, the next one of the row's plan. Thread-safe.
class RowReader {
 public:
  /// Keeps references: all must outlive it.
  RowReader(const RecordSource& source, const BatchFeed& feed, const LoaderOptions& options,
            const LoaderRuntime& runtime, StageCounters& counters);

  enum class Outcome { kFound, kLeftOut, kStopped };
  /// Finds the next record that the source can provide. Throws like RecordSource::Read, OrderPlan's
  /// WindowUsedUp with the causes, and TooManySkips.
  Outcome Read(RowSearch& row, const std::stop_token& stop) const;
  /// Skips the record that was found. False: the row has no further attempt.
  bool PassOver(RowSearch& row, Skip cause) const;

 private:
  void ReadAhead(const RowSearch& row) const;
  std::optional<RowPlan> PlanOf(const RowSearch& row) const;
  std::optional<SkippedRecord> Known(SampleIndex index) const;
  bool Next(RowSearch& row, SkippedRecord skipped) const;
  void GiveUp(const RowSearch& row) const;
  /// How many records of the source this start has found bad, and why; "" outside a run.
  std::string DescribeBad() const;

  const RecordSource& source_;
  const BatchFeed& feed_;
  const LoaderOptions& options_;
  const LoaderRuntime& runtime_;
  StageCounters& counters_;
  const std::int64_t read_ahead_bytes_;
};

}  // namespace fastclip
