#pragma once

#include <cstdint>

#include "pipeline/pixels/augment.h"
#include "pipeline/pixels/image.h"

namespace fastclip {

/// Bounds within which sizes in bytes and in rows cannot overflow.
inline constexpr int kMaxImageSize = 8192;
inline constexpr int kMaxBatchRows = 1 << 24;

/// What a user may set.
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
};

/// How training decodes: with fast_pixels smaller, down to image_size.
DecodeOptions TrainingDecodeOptions(const LoaderOptions& options);

/// The same options. Throws std::invalid_argument where no loader can have them.
const LoaderOptions& CheckedOptions(const LoaderOptions& options);

}  // namespace fastclip
