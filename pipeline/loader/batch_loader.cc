#include "pipeline/loader/batch_loader.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <exception>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

#include "pipeline/base/mutex.h"
#include "pipeline/loader/batch_buffer.h"
#include "pipeline/loader/batch_feed.h"
#include "pipeline/loader/batch_window.h"
#include "pipeline/loader/compute_pool.h"
#include "pipeline/loader/memory_gate.h"
#include "pipeline/loader/memory_plan.h"
#include "pipeline/loader/row_reader.h"
#include "pipeline/loader/wait_clock.h"

#if defined(__SANITIZE_THREAD__)
extern "C" void __tsan_acquire(void*);
extern "C" void __tsan_release(void*);
#else
static void __tsan_acquire(void*) {}
static void __tsan_release(void*) {}
#endif

namespace fastclip {
// A row is a Job: a reader takes it, reads its record and passes it to the compute pool, which
// writes the row. A bad record sends the job back to the readers with the next attempt.
struct BatchLoader::Impl {
  struct Job {
    Impl* loader;
    BatchInFlight* batch;
    RowSearch row;
  };

  Impl(const RecordSource& source, std::unique_ptr<BatchFeed> feed, const LoaderOptions& options,
       const LoaderRuntime& runtime)
      : feed(std::move(feed)),
        options(CheckedOptions(options)),
        runtime(runtime),
        memory(PlanMemory(options, this->feed->batches() > 0 ? this->feed->rows(0) : 0,
                          runtime.held_batches)),
        row_reader(source, *this->feed, this->options, this->runtime, counters),
        ring(runtime.memory),
        gate(memory.records),
        window(*this->feed, ring, memory.batches),
        pool(options.threads) {
    try {
      for (int i = 0; i < options.io_threads; ++i) readers.emplace_back([this] { ReadJobs(); });
    } catch (...) {
      Stop();
      throw;
    }
  }

  ~Impl() { Stop(); }

  void Stop() FASTCLIP_EXCLUDES(mutex) {
    stop.request_stop();
    { const MutexLock lock(mutex); }  // no reader is between its check and its wait
    work.NotifyAll();
    readers.clear();
    MutexLock lock(mutex);
    while (tasks != 0) idle.Wait(lock);
  }

  // Readers wait for a row and memory to read it into, in TakeJob, or for memory to decode it, in
  // StartWriting. They are woken where that may have come, not by each row that is done: 2 % of all
  // work.

  void WaitForWork(MutexLock& lock) FASTCLIP_REQUIRES(mutex) {
    blocked.Begin();
    work.Wait(lock);
    blocked.End();
  }
  /// `had_room`: gate.MayRead() before something was given back.
  void WakeReaders(bool had_room) FASTCLIP_REQUIRES(mutex) {
    if ((!had_room && gate.MayRead()) || gate.AnyQueues()) work.NotifyAll();
  }

  bool MayTakeJob() const FASTCLIP_REQUIRES(mutex) {
    return gate.MayRead() && (!retries.empty() || window.HasRow());
  }

  /// The next row to read; rows that were sent back come first. Nothing when it is time to stop.
  std::unique_ptr<Job> TakeJob() FASTCLIP_EXCLUDES(mutex) {
    MutexLock lock(mutex);
    for (;;) {
      while (!stop.stop_requested() && !MayTakeJob()) WaitForWork(lock);
      if (stop.stop_requested()) return nullptr;
      if (!retries.empty()) {
        auto job = std::move(retries.front());
        retries.pop_front();
        gate.BeginRead();
        return job;
      }
      const auto taken = window.TakeRow();
      if (!taken) {  // the batch could not be opened
        ready.NotifyAll();
        continue;
      }
      std::unique_ptr<Job> job(new Job{.loader = this,
                                       .batch = taken->batch,
                                       .row = {.batch = taken->batch->number, .row = taken->row}});
      gate.BeginRead();
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
      const MutexLock lock(mutex);
      const bool had_room = gate.MayRead();
      gate.EndRead();
      WakeReaders(had_room);
    }
  }

  // The compute pool.

  /// Waits until the memory for the record and its decoder is there: tasks of the pool give it
  /// back, and never wait themselves.
  void StartWriting(std::unique_ptr<Job> job) FASTCLIP_EXCLUDES(mutex) {
    const std::int64_t bytes = job->row.bytes;
    {
      MutexLock lock(mutex);
      const std::int64_t place =
          gate.Queue(static_cast<std::int64_t>(job->row.block.records[0].image.size()));
      while (!stop.stop_requested() && !gate.MayDecode(place, bytes)) WaitForWork(lock);
      if (stop.stop_requested()) return;
      gate.BeginDecode(bytes);
      if (gate.AnyQueues()) work.NotifyAll();
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

  void EndTask(std::unique_ptr<Job> again, std::int64_t bytes) FASTCLIP_EXCLUDES(mutex) {
    const MutexLock lock(mutex);
    const bool had_room = gate.MayRead();
    gate.EndDecode(bytes);
    if (again != nullptr) {
      retries.push_back(std::move(again));
      work.NotifyAll();
    }
    WakeReaders(had_room);
    if (--tasks == 0) idle.NotifyAll();
  }

  // Both.

  void LeaveOut(const Job& job) {
    feed->LeaveOut(job.row.row, job.row.skipped.back().cause, *job.batch->storage);
    Finish(job);
  }

  void Finish(const Job& job) FASTCLIP_EXCLUDES(mutex) {
    const MutexLock lock(mutex);
    if (window.Finish(*job.batch, job.row.skipped)) ready.NotifyAll();
  }

  void Fail(BatchInFlight& batch) FASTCLIP_EXCLUDES(mutex) {
    const MutexLock lock(mutex);
    window.Fail(batch, std::current_exception());
    ready.NotifyAll();
  }

  // The consumer.

  bool HasNext(int count) FASTCLIP_EXCLUDES(mutex) {
    const MutexLock lock(mutex);
    return window.ready() >= count;
  }

  std::optional<Batch> Next(const std::stop_token& give_up) FASTCLIP_EXCLUDES(mutex) {
    // Made before the lock is taken and gone after it: it takes the lock itself.
    const std::stop_callback wake(give_up, [this] {
      { const MutexLock lock(mutex); }  // the consumer is not between its check and its wait
      ready.NotifyAll();
    });
    std::shared_ptr<Batch::Storage> storage = TakeHead(give_up);
    if (storage == nullptr) return std::nullopt;
    work.NotifyAll();
    std::ranges::sort(storage->skipped, {}, &SkippedRecord::index);
    feed->Close(*storage);
    return Batch(std::move(storage));
  }

  /// nullptr: there are no more, or it was given up.
  std::shared_ptr<Batch::Storage> TakeHead(const std::stop_token& give_up)
      FASTCLIP_EXCLUDES(mutex) {
    MutexLock lock(mutex);
    if (window.IsOver()) return nullptr;
    const auto start = std::chrono::steady_clock::now();
    while (!window.HeadIsThere() && !give_up.stop_requested()) ready.Wait(lock);
    starved_seconds +=
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (!window.HeadIsThere()) return nullptr;
    if (!window.HeadFailed() && !feed->substitutes()) CountSkipsInARow(*window.Head());
    if (window.HeadFailed()) std::rethrow_exception(window.Head()->error);
    return window.TakeHead();
  }

  /// Evaluation has no substitutes: neighbours that are all bad show that the data is not there.
  void CountSkipsInARow(BatchInFlight& batch) FASTCLIP_REQUIRES(mutex) {
    for (int row = 0; row < batch.rows; ++row) {
      const auto cause = batch.storage->found[row].skip;
      if (!cause) {
        skips_in_a_row = {};
        continue;
      }
      ++skips_in_a_row[*cause];
      if (skips_in_a_row.total() >= options.max_skips_in_a_row) {
        window.Fail(batch, std::make_exception_ptr(TooManySkips(
                               skips_in_a_row, feed->Plan(batch.number, row, 0)->index)));
        return;
      }
    }
  }

  LoaderStats Stats() FASTCLIP_EXCLUDES(mutex) {
    LoaderStats stats{.read = counters.read.Get(),
                      .decode = counters.decode.Get(),
                      .resize = counters.resize.Get(),
                      .tokenize = counters.tokenize.Get(),
                      .threads = options.threads,
                      .io_threads = options.io_threads};
    const MutexLock lock(mutex);
    stats.blocked_seconds = blocked.Seconds();
    stats.starved_seconds = starved_seconds;
    stats.queued_records = static_cast<int>(tasks);
    stats.ready_batches = window.complete();
    return stats;
  }

  const std::unique_ptr<BatchFeed> feed;
  const LoaderOptions options;
  const LoaderRuntime runtime;
  const MemoryPlan memory;
  StageCounters counters;
  const RowReader row_reader;
  BatchRing ring;
  std::stop_source stop;

  Mutex mutex;
  Condition work;   // for readers
  Condition ready;  // for the consumer
  Condition idle;   // for the destructor
  MemoryGate gate FASTCLIP_GUARDED_BY(mutex);
  BatchWindow window FASTCLIP_GUARDED_BY(mutex);
  std::deque<std::unique_ptr<Job>> retries FASTCLIP_GUARDED_BY(mutex);
  std::int64_t tasks FASTCLIP_GUARDED_BY(mutex) = 0;  // in the pool
  WaitClock blocked FASTCLIP_GUARDED_BY(mutex);       // readers
  double starved_seconds FASTCLIP_GUARDED_BY(mutex) = 0;
  SkipCounts skips_in_a_row FASTCLIP_GUARDED_BY(mutex);

  ComputePool pool;
  std::vector<std::jthread> readers;  // last: they use all of the above
};

BatchLoader::BatchLoader(const RecordSource& source, const OrderPlan& plan, LaneRange lanes,
                         std::int64_t first_step, std::int64_t last_step,
                         const Tokenizer& tokenizer, const LoaderOptions& options,
                         const LoaderRuntime& runtime)
    : impl_(std::make_unique<Impl>(
          source, MakeTrainingFeed(plan, lanes, first_step, last_step, tokenizer, options, runtime),
          options, runtime)) {}

BatchLoader::BatchLoader(const RecordSource& source, SampleIndex first, SampleIndex last,
                         int batch_size, const Tokenizer& tokenizer, const LoaderOptions& options,
                         const LoaderRuntime& runtime)
    : impl_(std::make_unique<Impl>(
          source, MakeEvaluationFeed(first, last, batch_size, tokenizer, options, runtime), options,
          runtime)) {}

BatchLoader::~BatchLoader() = default;

std::optional<Batch> BatchLoader::Next(const std::stop_token& give_up) {
  return impl_->Next(give_up);
}

bool BatchLoader::HasNext(int count) const { return impl_->HasNext(count); }

LoaderStats BatchLoader::stats() const { return impl_->Stats(); }

}  // namespace fastclip
