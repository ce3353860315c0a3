#include "pipeline/batch_loader.h"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <numeric>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>

#include "pipeline/batch_buffer.h"
#include "pipeline/batch_feed.h"
#include "pipeline/compute_pool.h"
#include "pipeline/memory_plan.h"
#include "pipeline/row_reader.h"

#if defined(__SANITIZE_THREAD__)
extern "C" void __tsan_acquire(void*);
extern "C" void __tsan_release(void*);
#else
static void __tsan_acquire(void*) {}
static void __tsan_release(void*) {}
#endif

namespace fastclip {
namespace {

using Clock = std::chrono::steady_clock;

std::int64_t Sum(const SkipCounts& counts) {
  return std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
}

const LoaderOptions& Checked(const LoaderOptions& options) {
  const auto in_range = [](int value, int least, int most) {
    return value >= least && value <= most;
  };
  if (!in_range(options.threads, 1, kMostThreads) ||
      !in_range(options.io_threads, 1, kMostThreads) || options.prefetch < 1 ||
      !in_range(options.image_size, 1, kMaxImageSize) || options.context_length < 2) {
    throw std::invalid_argument(fmt::format(
        "a loader needs 1 to {} threads and as many readers, a batch ahead, a picture of 1 to {} "
        "pixels a side and two ids a caption: threads {}, io_threads {}, prefetch {}, image_size "
        "{}, context_length {}",
        kMostThreads, kMaxImageSize, options.threads, options.io_threads, options.prefetch,
        options.image_size, options.context_length));
  }
  return options;
}

}  // namespace

// A row is a Job: a reader takes it, reads its record and passes it to the compute pool, which
// writes the row. A bad record sends the job back to the readers with the next attempt. The first
// batch in `in_flight` is the consumer's next; only the last may have rows that nobody took yet.
struct BatchLoader::Impl {
  struct BatchInFlight {
    std::int64_t number = 0;
    std::shared_ptr<Batch::Storage> storage;
    int rows = 0;
    int taken = 0;       // rows that became jobs
    int unfinished = 0;  // rows not yet written or left out
    std::exception_ptr error;
  };

  struct Job {
    Impl* loader;
    BatchInFlight* batch;
    RowSearch row;
  };

  Impl(const RecordSource& source, std::unique_ptr<BatchFeed> feed, const LoaderOptions& options)
      : source(source),
        feed(std::move(feed)),
        options(Checked(options)),
        memory(PlanMemory(options, this->feed->batches() > 0 ? this->feed->rows(0) : 0)),
        row_reader(this->source, *this->feed, this->options, counters),
        ring(options.memory),
        pool(options.threads) {
    try {
      for (int i = 0; i < options.io_threads; ++i) readers.emplace_back([this] { ReadJobs(); });
    } catch (...) {
      Stop();
      throw;
    }
  }

  ~Impl() { Stop(); }

  void Stop() {
    stop.request_stop();
    { const std::lock_guard lock(mutex); }  // no reader is between its check and its wait
    work.notify_all();
    readers.clear();
    std::unique_lock lock(mutex);
    idle.wait(lock, [this] { return tasks == 0; });
  }

  // Readers.

  bool CanOpenBatch() const {
    return !failed && next_batch < feed->batches() && std::ssize(in_flight) < memory.batches;
  }
  bool HasRow() const {
    return !in_flight.empty() && in_flight.back()->taken < in_flight.back()->rows;
  }

  /// REQUIRES: the mutex is held.
  void OpenBatch() {
    auto batch = std::make_unique<BatchInFlight>();
    batch->number = next_batch++;
    batch->rows = batch->unfinished = feed->rows(batch->number);
    in_flight.push_back(std::move(batch));
    BatchInFlight& opened = *in_flight.back();
    try {
      opened.storage = ring.Take();
      feed->Open(opened.number, *opened.storage);
    } catch (...) {
      opened.taken = opened.rows;
      opened.error = std::current_exception();
      failed = true;
      ready.notify_all();
    }
  }

  /// Adds up how long readers wait: their number, times the time since it changed.
  /// REQUIRES: the mutex is held.
  void CountBlocked(int change) {
    const auto now = Clock::now();
    blocked_seconds += blocked_readers * std::chrono::duration<double>(now - blocked_at).count();
    blocked_at = now;
    blocked_readers += change;
  }

  // Readers wait for a row and memory to read it into, in TakeJob, or for memory to decode it, in
  // StartWriting. They are woken where that may have come, not by each row that is done: 2 % of all
  // work.
  bool AnyWaitsToHandOn() const { return next_ticket > serving; }

  /// Whether one more record may be read. How large it is shows only then: each that is being read
  /// is taken for as large as the largest of late.
  bool HasRoomToRead() const {
    return (pending_bytes == 0 && reading == 0) ||
           pending_bytes + (reading + 1) * largest_record <= memory.records;
  }
  /// REQUIRES: the mutex is held; `had_room` from before something was given back.
  void WakeReaders(bool had_room) {
    if ((!had_room && HasRoomToRead()) || AnyWaitsToHandOn()) work.notify_all();
  }
  void EndReading() {
    const std::lock_guard lock(mutex);
    const bool had_room = HasRoomToRead();
    --reading;
    WakeReaders(had_room);
  }

  template <class MayGoOn>
  void WaitBlocked(std::unique_lock<std::mutex>& lock, const MayGoOn& may_go_on) {
    if (may_go_on()) return;
    CountBlocked(+1);
    work.wait(lock, may_go_on);
    CountBlocked(-1);
  }

  /// The next row to read; rows that were sent back come first. Nothing when it is time to stop.
  std::unique_ptr<Job> TakeJob() {
    std::unique_lock lock(mutex);
    for (;;) {
      const auto may_go_on = [this] {
        return stop.stop_requested() ||
               (HasRoomToRead() && (!retries.empty() || HasRow() || CanOpenBatch()));
      };
      WaitBlocked(lock, may_go_on);
      if (stop.stop_requested()) return nullptr;
      if (!retries.empty()) {
        auto job = std::move(retries.front());
        retries.pop_front();
        ++reading;
        return job;
      }
      if (!HasRow()) OpenBatch();
      if (!HasRow()) continue;
      BatchInFlight& batch = *in_flight.back();
      std::unique_ptr<Job> job(new Job{
          .loader = this, .batch = &batch, .row = {.batch = batch.number, .row = batch.taken++}});
      ++reading;
      return job;
    }
  }

  void ReadJobs() {
    while (auto job = TakeJob()) {
      BatchInFlight* batch = job->batch;
      try {
        const auto outcome = row_reader.Read(job->row, stop.get_token());
        if (outcome == RowReader::Outcome::kFound) StartWriting(std::move(job));
        if (outcome == RowReader::Outcome::kLeftOut) LeaveOut(*job);
      } catch (...) {
        Fail(*batch);
      }
      EndReading();
    }
  }

  // The compute pool.

  /// Waits until the memory for the record and its decoder is there: tasks of the pool give it
  /// back, and never wait themselves. A record that is larger than all goes alone.
  void StartWriting(std::unique_ptr<Job> job) {
    const std::int64_t bytes = job->row.bytes;
    const auto in_file = static_cast<std::int64_t>(job->row.block.records[0].image.size());
    {
      std::unique_lock lock(mutex);
      // What was large once is forgotten over some thousand records.
      largest_record = std::max(in_file, largest_record - largest_record / 1024);
      const std::int64_t ticket = next_ticket++;  // in turn: small ones must not starve a large one
      WaitBlocked(lock, [&] {
        return stop.stop_requested() ||
               (ticket == serving &&
                (pending_bytes == 0 ||
                 pending_bytes + bytes + (reading - 1) * largest_record <= memory.records));
      });
      if (stop.stop_requested()) return;
      ++serving;
      if (AnyWaitsToHandOn()) work.notify_all();
      pending_bytes += bytes;
      ++tasks;
    }
    __tsan_release(job.get());
    try {
      pool.Start(&Impl::WriteJob, job.get());
      job.release();
    } catch (...) {
      EndTask(nullptr, bytes);
      throw;
    }
  }

  static void WriteJob(void* argument) noexcept {
    __tsan_acquire(argument);
    std::unique_ptr<Job> job(static_cast<Job*>(argument));
    Impl& loader = *job->loader;
    const std::int64_t bytes = job->row.bytes;
    BatchInFlight* batch = job->batch;
    try {
      if (!loader.stop.stop_requested() && !loader.Write(*job)) job = nullptr;
    } catch (...) {
      loader.Fail(*batch);
      job = nullptr;
    }
    loader.EndTask(std::move(job), bytes);
  }

  /// False if the row is done; true if it needs the next attempt.
  bool Write(Job& job) {
    RowSearch& row = job.row;
    const auto cause =
        feed->Write(row.block.records[0], row.plan, row.row, *job.batch->storage, counters);
    if (!cause) {
      Finish(job);
      return false;
    }
    if (row_reader.PassOver(row, *cause)) return true;
    LeaveOut(job);
    return false;
  }

  void EndTask(std::unique_ptr<Job> again, std::int64_t bytes) {
    const std::lock_guard lock(mutex);
    const bool had_room = HasRoomToRead();
    pending_bytes -= bytes;
    if (again != nullptr) {
      retries.push_back(std::move(again));
      work.notify_all();
    }
    WakeReaders(had_room);
    if (--tasks == 0) idle.notify_all();
  }

  // Both.

  void LeaveOut(const Job& job) {
    feed->LeaveOut(job.row.row, job.row.skipped.back().cause, *job.batch->storage);
    Finish(job);
  }

  void Finish(const Job& job) {
    const std::lock_guard lock(mutex);
    for (const SkippedRecord& record : job.row.skipped) {
      ++job.batch->storage->skips[static_cast<int>(record.cause)];
      job.batch->storage->skipped.push_back(record);
    }
    if (--job.batch->unfinished == 0) ready.notify_all();
  }

  /// Keeps the current exception for the consumer, who meets it where the batch would have come.
  void Fail(BatchInFlight& batch) {
    const std::lock_guard lock(mutex);
    if (batch.error == nullptr) batch.error = std::current_exception();
    failed = true;
    ready.notify_all();
  }

  // The consumer.

  /// REQUIRES: the mutex is held, as for the next.
  bool HeadIsDone() const { return !in_flight.empty() && in_flight.front()->unfinished == 0; }
  bool HeadFailed() const { return !in_flight.empty() && in_flight.front()->error != nullptr; }

  bool HasNext() {
    const std::lock_guard lock(mutex);
    return HeadIsDone() && !HeadFailed();
  }

  std::optional<Batch> Next(const std::stop_token& give_up) {
    // Made before the lock is taken and gone after it: it takes the lock itself.
    const std::stop_callback wake(give_up, [this] {
      { const std::lock_guard lock(mutex); }  // the consumer is not between its check and its wait
      ready.notify_all();
    });
    std::unique_lock lock(mutex);
    if (delivered == feed->batches()) return std::nullopt;
    const auto start = Clock::now();
    const auto is_there = [this] { return HeadIsDone() || HeadFailed(); };
    ready.wait(lock, [&] { return is_there() || give_up.stop_requested(); });
    starved_seconds += std::chrono::duration<double>(Clock::now() - start).count();
    if (!is_there()) return std::nullopt;
    BatchInFlight& batch = *in_flight.front();
    if (batch.error == nullptr && !feed->substitutes()) CountSkipsInARow(batch);
    if (batch.error != nullptr) std::rethrow_exception(batch.error);
    auto storage = std::move(batch.storage);
    in_flight.pop_front();
    ++delivered;
    lock.unlock();
    work.notify_all();
    std::ranges::sort(storage->skipped, {}, &SkippedRecord::index);
    feed->Close(*storage);
    return Batch(std::move(storage));
  }

  /// Evaluation has no substitutes: neighbours that are all bad show that the data is not there.
  void CountSkipsInARow(BatchInFlight& batch) {
    for (int row = 0; row < batch.rows; ++row) {
      const auto cause = batch.storage->found[row].skip;
      if (!cause) {
        skips_in_a_row = {};
        continue;
      }
      ++skips_in_a_row[static_cast<int>(*cause)];
      if (Sum(skips_in_a_row) >= options.max_skips_in_a_row) {
        batch.error = std::make_exception_ptr(
            TooManySkips(skips_in_a_row, feed->Plan(batch.number, row, 0)->index));
        return;
      }
    }
  }

  LoaderStats Stats() {
    LoaderStats stats{.read = counters.read.Get(),
                      .decode = counters.decode.Get(),
                      .resize = counters.resize.Get(),
                      .tokenize = counters.tokenize.Get(),
                      .threads = options.threads,
                      .io_threads = options.io_threads};
    const std::lock_guard lock(mutex);
    CountBlocked(0);
    stats.blocked_seconds = blocked_seconds;
    stats.starved_seconds = starved_seconds;
    stats.queued_records = static_cast<int>(tasks);
    stats.ready_batches = static_cast<int>(
        std::ranges::count_if(in_flight, [](const auto& batch) { return batch->unfinished == 0; }));
    return stats;
  }

  const RecordSource& source;
  const std::unique_ptr<BatchFeed> feed;
  const LoaderOptions options;
  const MemoryPlan memory;
  StageCounters counters;
  const RowReader row_reader;
  BatchRing ring;
  SkipCounts skips_in_a_row{};
  std::stop_source stop;

  std::mutex mutex;
  std::condition_variable work;   // for readers
  std::condition_variable ready;  // for the consumer
  std::condition_variable idle;   // for the destructor
  std::deque<std::unique_ptr<BatchInFlight>> in_flight;
  std::deque<std::unique_ptr<Job>> retries;
  std::int64_t next_batch = 0;
  std::int64_t delivered = 0;
  std::int64_t next_ticket = 0;  // of readers that wait to hand on a record
  std::int64_t serving = 0;
  std::int64_t pending_bytes = 0;   // read and not yet written
  std::int64_t reading = 0;         // readers that have a record, or will in a moment
  std::int64_t largest_record = 0;  // bytes in its file, of late
  std::int64_t tasks = 0;           // in the pool
  bool failed = false;
  double starved_seconds = 0;
  double blocked_seconds = 0;  // of readers
  int blocked_readers = 0;
  Clock::time_point blocked_at = Clock::now();

  ComputePool pool;
  std::vector<std::jthread> readers;  // last: they use all of the above
};

BatchLoader::BatchLoader(const RecordSource& source, const OrderPlan& plan, LaneRange lanes,
                         std::int64_t first_step, std::int64_t last_step,
                         const Tokenizer& tokenizer, const LoaderOptions& options)
    : impl_(std::make_unique<Impl>(
          source, MakeTrainingFeed(plan, lanes, first_step, last_step, tokenizer, options),
          options)) {}

BatchLoader::BatchLoader(const RecordSource& source, SampleIndex first, SampleIndex last,
                         int batch_size, const Tokenizer& tokenizer, const LoaderOptions& options)
    : impl_(std::make_unique<Impl>(
          source, MakeEvaluationFeed(first, last, batch_size, tokenizer, options), options)) {}

BatchLoader::~BatchLoader() = default;

std::optional<Batch> BatchLoader::Next(const std::stop_token& give_up) {
  return impl_->Next(give_up);
}

bool BatchLoader::HasNext() const { return impl_->HasNext(); }

LoaderStats BatchLoader::stats() const { return impl_->Stats(); }

}  // namespace fastclip
