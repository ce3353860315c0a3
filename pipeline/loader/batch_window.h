#pragma once

#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <optional>
#include <span>

#include "pipeline/loader/batch_buffer.h"
#include "pipeline/loader/batch_feed.h"
#include "pipeline/records/known_bad.h"

namespace fastclip {

struct BatchInFlight {
  std::int64_t number = 0;
  std::shared_ptr<Batch::Storage> storage;
  int rows = 0;
  int taken = 0;       ///< rows that somebody makes or has made
  int unfinished = 0;  ///< rows not yet written or left out
  std::exception_ptr error;
};

/// The batches that are being made, in order: the first is the consumer's next, only the last may
/// have rows that nobody took yet. Not thread-safe: the loader's mutex guards it.
class BatchWindow {
 public:
  /// `most`: batches that are in it at a time. Feed and ring must outlive it.
  BatchWindow(const BatchFeed& feed, BatchRing& ring, int most)
      : feed_(feed), ring_(ring), most_(most) {}

  struct Row {
    BatchInFlight* batch;
    int row;
  };
  /// Whether there is a row to take, or a batch may be opened for it. After a failure there are no
  /// new batches.
  bool HasRow() const;
  /// REQUIRES: HasRow(). Nothing where the batch could not be opened: it has failed then.
  std::optional<Row> TakeRow();

  /// A row is written or left out, after these records were skipped. Returns whether it was the
  /// batch's last.
  bool Finish(BatchInFlight& batch, std::span<const SkippedRecord> skipped);
  /// The consumer meets the error where the batch would have come; a batch keeps its first.
  void Fail(BatchInFlight& batch, std::exception_ptr error);

  /// The consumer's next batch; nullptr where it was not opened yet.
  BatchInFlight* Head() { return batches_.empty() ? nullptr : batches_.front().get(); }
  bool HeadIsComplete() const { return !batches_.empty() && batches_.front()->unfinished == 0; }
  /// Whether the consumer need not wait for it: it is complete or has failed.
  bool HeadIsThere() const { return HeadIsComplete() || HeadFailed(); }
  bool HeadFailed() const { return !batches_.empty() && batches_.front()->error != nullptr; }
  /// REQUIRES: HeadIsComplete() and not HeadFailed().
  std::shared_ptr<Batch::Storage> TakeHead();
  /// Whether every batch of the feed was taken.
  bool IsOver() const { return delivered_ == feed_.batches(); }
  /// Batches that are complete.
  int complete() const;

 private:
  bool LastHasRow() const {
    return !batches_.empty() && batches_.back()->taken < batches_.back()->rows;
  }
  bool CanOpen() const;
  void Open();

  const BatchFeed& feed_;
  BatchRing& ring_;
  const std::int64_t most_;
  std::deque<std::unique_ptr<BatchInFlight>> batches_;
  std::int64_t next_ = 0;
  std::int64_t delivered_ = 0;
  bool failed_ = false;
};

}  // namespace fastclip
