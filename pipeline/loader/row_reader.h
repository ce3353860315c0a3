#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <vector>

#include "pipeline/loader/batch_feed.h"
#include "pipeline/loader/loader_options.h"
#include "pipeline/loader/loader_runtime.h"
#include "pipeline/records/known_bad.h"
#include "pipeline/records/record_source.h"

namespace fastclip {

SkipCounts CountsOf(const std::vector<SkippedRecord>& skipped);
/// What a run ends with that is fed garbage; `last` is the index of the last record.
std::runtime_error TooManySkips(const SkipCounts& counts, SampleIndex last);

/// A row on its way to a record: attempt by attempt until one can be used.
struct RowSearch {
  std::int64_t batch = 0;
  int row = 0;
  std::int64_t attempt = 0;
  std::vector<SkippedRecord> skipped{};  ///< of the attempts so far; holes are none
  RowPlan plan{};                        ///< of the record in `block`
  RecordBlock block{};
  std::int64_t bytes = 0;  ///< of that record, and what decoding it will take
};

/// Reads the record of a row; where it is bad, the next one of the row's plan. Const and
/// thread-safe.
class RowReader {
 public:
  /// All are shared and must outlive it.
  RowReader(const RecordSource& source, const BatchFeed& feed, const LoaderOptions& options,
            const LoaderRuntime& runtime, StageCounters& counters);

  enum class Outcome { kFound, kLeftOut, kStopped };
  /// Goes on to the next record that its source can give. Throws as RecordSource::Read, OrderPlan's
  /// WindowUsedUp with the causes, and TooManySkips.
  Outcome Read(RowSearch& row, const std::stop_token& stop) const;
  /// The record that was found is of no use. False: the row has no further attempt.
  bool PassOver(RowSearch& row, Skip cause) const;

 private:
  void ReadAhead(const RowSearch& row) const;
  std::optional<RowPlan> PlanOf(const RowSearch& row) const;
  std::optional<SkippedRecord> Known(SampleIndex index) const;
  bool Next(RowSearch& row, SkippedRecord skipped) const;

  const RecordSource& source_;
  const BatchFeed& feed_;
  const LoaderOptions& options_;
  const LoaderRuntime& runtime_;
  StageCounters& counters_;
  const std::int64_t read_ahead_bytes_;
};

}  // namespace fastclip
