#pragma once

#include <cstdint>

#include "pipeline/pixels/augment.h"
#include "pipeline/pixels/image.h"

namespace fastclip {

/// Limits that keep sizes in bytes and rows from overflowing.
inline constexpr int kMaxImageSize = 8192;
inline constexpr int kMaxBatchRows = 1 << 24;

/// User-settable options.
struct LoaderOptions {
  /// Side of the square image in pixels; at most kMaxImageSize.
  int image_size = 224;
  /// Ids per caption, including start and end.
  int context_length = 77;
  AugmentOptions augment;
  DecodeOptions decode;
  /// Training decodes JPEGs at a smaller size if the crop still has image_size pixels on both
  /// sides: faster, but not bit-identical to Pillow (decode.md has the difference). Evaluation
  /// stays exact.
  bool fast_pixels = false;
  /// Training on labels: a row needs a label below this number and no caption; its token ids are
  /// zero. 0: on captions.
  std::int64_t classes = 0;
  /// Threads that decode and tokenize, and threads that read; at most kMostThreads each. They do
  /// not change a batch.
  int threads = 2;
  int io_threads = 2;
  /// Maximum batches ahead of the consumer.
  int prefetch = 2;
  /// Memory limit for batches, records and decoders; 0: what prefetch needs plus 256 MiB. A single
  /// record over the limit is still read, alone. Does not change a batch.
  std::int64_t memory_bytes = 0;
  /// Page-cache memory for reading ahead, one window of the order before it is needed: whole chunks
  /// in large requests instead of small reads all over a shard. 0: none; -1: half of the memory
  /// available at the start. If two windows need more than this, nothing is read ahead. Does not
  /// change a batch.
  std::int64_t read_ahead_bytes = -1;
  /// Ranks that share this machine's memory.
  int ranks_of_host = 1;
  /// Stops the run after this many bad records in a row: attempts of one row in training,
  /// consecutive records in evaluation.
  int max_skips_in_a_row = 10'000;
};

/// Decode options of training: with fast_pixels at a smaller size, down to image_size.
DecodeOptions TrainingDecodeOptions(const LoaderOptions& options);

/// Returns `options`; throws std::invalid_argument if they are invalid.
const LoaderOptions& CheckedOptions(const LoaderOptions& options);

}  // namespace fastclip
