#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <memory_resource>
#include <optional>
#include <span>
#include <stop_token>
#include <vector>

#include "pipeline/augment.h"
#include "pipeline/image.h"
#include "pipeline/known_bad.h"
#include "pipeline/order_plan.h"
#include "pipeline/record_source.h"
#include "tokenizer/tokenizer.h"

namespace fastclip {

/// Bounds within which sizes in bytes and in rows cannot overflow.
inline constexpr int kMaxImageSize = 8192;
inline constexpr int kMaxBatchRows = 1 << 24;

enum class LoaderStage { kRead, kDecode, kResize, kTokenize };

struct LoaderOptions {
  /// Side of the square picture, pixels; kMaxImageSize at most.
  int image_size = 224;
  /// Ids of a caption, start and end included.
  int context_length = 77;
  AugmentOptions augment;
  DecodeOptions decode;
  /// Training decodes JPEGs smaller where their crop still has image_size pixels on both sides:
  /// faster, no longer Pillow's bytes (decode.md says by how much). Evaluation stays exact.
  bool fast_pixels = false;
  /// Threads that decode and tokenize, and threads that read; kMostThreads at most. Neither changes
  /// a batch.
  int threads = 2;
  int io_threads = 2;
  /// Batches made ahead of the consumer, at most.
  int prefetch = 2;
  /// Limit of the memory for batches, records and decoders; 0: what prefetch needs, and 256 MiB.
  /// One record that exceeds it by itself is still read, alone. Does not change a batch.
  std::int64_t memory_bytes = 0;
  /// Memory that the machine's cache of files may give to reading ahead, a window of the order
  /// before it is needed: whole chunks in large requests, where records alone would be small ones
  /// all over a shard. 0: none; -1: half of what is available at the start. Where two windows are
  /// more than this, nothing is read ahead. Changes no batch.
  std::int64_t read_ahead_bytes = -1;
  /// Ranks that share the machine, and so what is available.
  int ranks_of_host = 1;
  /// Stops the run where this many records in a row cannot be used: attempts of one row in
  /// training, neighbours in evaluation.
  int max_skips_in_a_row = 10'000;
  /// What is known to be bad is not read again, and what is found bad is added. Changes no batch.
  /// Shared, may be null; must outlive the loader.
  KnownBad* known_bad = nullptr;
  /// Tests: called where a stage begins to work on a record, to slow it.
  std::function<void(LoaderStage)> before_stage;
  /// Where batches live; pinned memory for CUDA. Must outlive the loader and its batches.
  std::pmr::memory_resource* memory = std::pmr::new_delete_resource();
};

/// How training decodes: with fast_pixels smaller, down to image_size.
DecodeOptions TrainingDecodeOptions(const LoaderOptions& options);

/// One rank's rows of a global batch. Move-only; its destructor gives the memory back to the ring.
/// Training: one caption a row. Evaluation: all captions of a picture, none where it has a label
/// instead, caption_row says whose; a batch whose records are all bad has no row.
class Batch {
 public:
  struct Storage;
  explicit Batch(std::shared_ptr<Storage> storage);
  Batch(Batch&&) noexcept;
  Batch& operator=(Batch&&) noexcept;
  ~Batch();

  std::int64_t step() const;  ///< global step (training) or number of the batch (evaluation)
  std::int64_t epoch() const;
  int rows() const;      ///< pictures, b
  int captions() const;  ///< captions, c; equals rows() in training
  int image_size() const;
  int context_length() const;
  std::span<std::uint8_t> pixels() const;       ///< [b, image_size, image_size, 3]
  std::span<TokenId> tokens() const;            ///< [c, context_length]
  std::span<std::int64_t> pool() const;         ///< [c] place of the end token
  std::span<std::int64_t> caption_row() const;  ///< [c] row of the picture
  std::span<std::int64_t> indices() const;      ///< [b] SampleIndex
  std::span<std::int64_t> labels() const;       ///< [b], -1 where unknown
  /// Records skipped while this batch was made; a function of the data.
  const SkipCounts& skips() const;
  /// The same one by one, by index; a record that two rows skipped comes twice.
  std::span<const SkippedRecord> skipped() const;

 private:
  std::shared_ptr<Storage> storage_;
};

/// What each stage did so far. Seconds are summed over the stage's threads.
struct LoaderStats {
  struct Stage {
    std::int64_t items = 0;
    std::int64_t bytes = 0;
    double busy_seconds = 0;
  };
  Stage read, decode, resize, tokenize;
  double blocked_seconds = 0;  ///< readers waited, as enough is made ahead
  double starved_seconds = 0;  ///< the consumer waited in Next()
  int threads = 0;
  int io_threads = 0;
  int queued_records = 0;  ///< read and not yet made into a row, now
  int ready_batches = 0;   ///< complete and not yet asked for, now
};

/// The steps [first_step, last_step) of the lanes of one rank, in order, made by threads of its
/// own: the constructor starts them, the destructor stops them. `source` and `tokenizer` are shared
/// and must outlive it.
class BatchLoader {
 public:
  /// Training: OrderPlan's rows, random crop, one caption, substitutes for bad records.
  BatchLoader(const RecordSource& source, const OrderPlan& plan, LaneRange lanes,
              std::int64_t first_step, std::int64_t last_step, const Tokenizer& tokenizer,
              const LoaderOptions& options);
  /// Evaluation: records [first, last) in order, batch_size a batch and a short last one, centre
  /// crop, all captions, no substitutes: a bad record is left out and counted. Whether a picture
  /// needs a caption or a label is the source's to say (SourceOptions::labels).
  BatchLoader(const RecordSource& source, SampleIndex first, SampleIndex last, int batch_size,
              const Tokenizer& tokenizer, const LoaderOptions& options);
  ~BatchLoader();

  /// The next batch, or nothing after the last. Throws what making it died of, each time; the
  /// batches before it still come. Nothing, too, where `give_up` is asked for before the batch is
  /// there; a later call waits for it again. For one thread.
  std::optional<Batch> Next(const std::stop_token& give_up = {});
  /// Whether Next() would give a batch at once. False where it would throw, and after the last.
  bool HasNext() const;
  LoaderStats stats() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fastclip
