#include "pipeline/loader/batch_window.h"

#include <algorithm>
#include <utility>

namespace fastclip {

bool BatchWindow::CanOpen() const {
  return !failed_ && next_ < feed_.batches() && std::ssize(batches_) < most_;
}

bool BatchWindow::HasRow() const { return LastHasRow() || CanOpen(); }

void BatchWindow::Open() {
  BatchInFlight& batch = *batches_.emplace_back(std::make_unique<BatchInFlight>());
  batch.number = next_++;
  batch.rows = batch.unfinished = feed_.rows(batch.number);
  try {
    batch.storage = ring_.Take();
    feed_.Open(batch.number, *batch.storage);
  } catch (...) {
    batch.taken = batch.rows;
    Fail(batch, std::current_exception());
  }
}

std::optional<BatchWindow::Row> BatchWindow::TakeRow() {
  if (!LastHasRow()) Open();
  if (!LastHasRow()) return std::nullopt;
  BatchInFlight& batch = *batches_.back();
  return Row{&batch, batch.taken++};
}

bool BatchWindow::Finish(BatchInFlight& batch, std::span<const SkippedRecord> skipped) {
  for (const SkippedRecord& record : skipped) {
    ++batch.storage->skips[record.cause];
    batch.storage->skipped.push_back(record);
  }
  return --batch.unfinished == 0;
}

void BatchWindow::Fail(BatchInFlight& batch, std::exception_ptr error) {
  if (batch.error == nullptr) batch.error = std::move(error);
  failed_ = true;
}

std::shared_ptr<Batch::Storage> BatchWindow::TakeHead() {
  auto storage = std::move(batches_.front()->storage);
  batches_.pop_front();
  ++delivered_;
  return storage;
}

int BatchWindow::ready() const {
  const auto waiting = [](const auto& batch) { return batch->unfinished != 0 || batch->error; };
  return static_cast<int>(std::ranges::find_if(batches_, waiting) - batches_.begin());
}

int BatchWindow::complete() const {
  return static_cast<int>(
      std::ranges::count_if(batches_, [](const auto& batch) { return batch->unfinished == 0; }));
}

}  // namespace fastclip
