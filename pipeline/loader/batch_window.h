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
  int taken = 0;       ///< rows that a thread has taken
  int unfinished = 0;  ///< rows not yet written or left out
  std::exception_ptr error;
};

/// The batches in progress, in order: the first is the consumer's next; only the last can have rows
/// not yet taken. Not thread-safe: the loader's mutex guards it.
class BatchWindow {
 public:
  /// `most`: maximum batches in progress. Feed and ring must outlive it.
  BatchWindow(const BatchFeed& feed, BatchRing& ring, int most)
      : feed_(feed), ring_(ring), most_(most) {}

  struct Row {
    BatchInFlight* batch;
    int row;
  };
  /// Whether there is a row to take, or a batch can be opened for one. After a failure no new batch
  /// is opened.
  bool HasRow() const;
  /// REQUIRES: HasRow(). Nothing if the batch could not be opened, which marks it as failed.
  std::optional<Row> TakeRow();

  /// Marks a row as written or left out, after these records were skipped. Returns whether it was
  /// the batch's last row.
  bool Finish(BatchInFlight& batch, std::span<const SkippedRecord> skipped);
  /// The consumer gets the error in place of the batch; a batch keeps its first error.
  void Fail(BatchInFlight& batch, std::exception_ptr error);

  /// The consumer's next batch; nullptr if it is not open yet.
  BatchInFlight* Head() { return batches_.empty() ? nullptr : batches_.front().get(); }
  bool HeadIsComplete() const { return !batches_.empty() && batches_.front()->unfinished == 0; }
  /// Whether the next batch is complete or has failed, so the consumer need not wait.
  bool HeadIsThere() const { return HeadIsComplete() || HeadFailed(); }
  bool HeadFailed() const { return !batches_.empty() && batches_.front()->error != nullptr; }
  /// REQUIRES: HeadIsComplete() and not HeadFailed().
  std::shared_ptr<Batch::Storage> TakeHead();
  /// Whether every batch of the feed was taken.
  bool IsOver() const { return delivered_ == feed_.batches(); }
  /// Batches that the consumer would get at once, one after the other.
  int ready() const;
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
