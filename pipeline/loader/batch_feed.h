#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>

#include "pipeline/loader/batch_buffer.h"
#include "pipeline/loader/loader_options.h"
#include "pipeline/loader/loader_runtime.h"
#include "pipeline/loader/loader_stats.h"
#include "pipeline/order/order_plan.h"
#include "pipeline/records/record.h"
#include "tokenizer/tokenizer.h"

namespace fastclip {

/// Work of one stage, summed over its threads.
class StageCounter {
 public:
  /// Adds an item and the time since `start`.
  void Add(std::chrono::steady_clock::time_point start, std::size_t bytes) {
    items_.fetch_add(1, std::memory_order_relaxed);
    bytes_.fetch_add(static_cast<std::int64_t>(bytes), std::memory_order_relaxed);
    nanoseconds_.fetch_add((std::chrono::steady_clock::now() - start).count(),
                           std::memory_order_relaxed);
  }
  LoaderStats::Stage Get() const {
    return {.items = items_, .bytes = bytes_, .busy_seconds = 1e-9 * nanoseconds_};
  }

 private:
  std::atomic<std::int64_t> items_ = 0;
  std::atomic<std::int64_t> bytes_ = 0;
  std::atomic<std::int64_t> nanoseconds_ = 0;
};

struct StageCounters {
  StageCounter read, decode, resize, tokenize;
};

/// The work of a loader without its threads: which record goes into which row of which batch, and
/// how a record becomes a row. Batches count from 0. Thread-safe, as long as no two threads work on
/// the same row.
class BatchFeed {
 public:
  virtual ~BatchFeed() = default;
  virtual std::int64_t batches() const = 0;
  virtual int rows(std::int64_t batch) const = 0;
  /// Shapes the batch. Called before any of its rows.
  virtual void Open(std::int64_t batch, Batch::Storage& storage) const = 0;
  /// The record of a row: the planned one, then its substitutes. std::nullopt is a hole: use the
  /// next attempt. Throws WindowUsedUp.
  virtual std::optional<RowPlan> Plan(std::int64_t batch, int row, std::int64_t attempt) const = 0;
  /// The records to read ahead when a row is read, and the number of records read ahead at one
  /// time.
  virtual std::optional<RecordRange> Ahead(std::int64_t batch, int row) const = 0;
  virtual std::int64_t records_ahead() const = 0;
  /// Whether the row of a bad record uses the next attempt; otherwise it is left out.
  virtual bool substitutes() const = 0;
  /// Writes the row, or returns why the record cannot be used.
  virtual std::optional<Skip> Write(const Record& record, const RowPlan& plan, int row,
                                    Batch::Storage& storage, StageCounters& counters) const = 0;
  /// Marks a row as left out.
  virtual void LeaveOut(int row, Skip cause, Batch::Storage& storage) const = 0;
  /// Called when every row is written or left out.
  virtual void Close(Batch::Storage& storage) const = 0;
};

/// OrderPlan's rows of a rank's lanes: random crop, one caption, substitutes.
std::unique_ptr<BatchFeed> MakeTrainingFeed(const OrderPlan& plan, LaneRange lanes,
                                            std::int64_t first_step, std::int64_t last_step,
                                            const Tokenizer& tokenizer,
                                            const LoaderOptions& options,
                                            const LoaderRuntime& runtime);

/// Records [first, last) in order: centre crop, all captions, bad records left out.
std::unique_ptr<BatchFeed> MakeEvaluationFeed(SampleIndex first, SampleIndex last, int batch_size,
                                              const Tokenizer& tokenizer,
                                              const LoaderOptions& options,
                                              const LoaderRuntime& runtime);

}  // namespace fastclip
