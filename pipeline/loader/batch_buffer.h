#pragma once

#include <cstdint>
#include <memory>
#include <memory_resource>
#include <optional>
#include <span>
#include <vector>

#include "pipeline/base/mutex.h"
#include "pipeline/loader/batch.h"

namespace fastclip {

/// The memory of one batch. Its vectors keep their capacity from batch to batch.
struct Batch::Storage {
  explicit Storage(std::pmr::memory_resource* memory)
      : pixels(memory),
        tokens(memory),
        pool(memory),
        caption_row(memory),
        indices(memory),
        labels(memory) {}

  /// Allocates `rows` images with one caption each and clears the last batch.
  void Shape(std::int64_t step, std::int64_t epoch, int rows, int image_size, int context_length);
  /// The part of `pixels` of one image.
  std::span<std::uint8_t> PixelsOf(int row);

  std::int64_t step = 0;
  std::int64_t epoch = 0;
  int image_size = 0;
  int context_length = 0;
  std::pmr::vector<std::uint8_t> pixels;
  std::pmr::vector<TokenId> tokens;
  std::pmr::vector<std::int64_t> pool;
  std::pmr::vector<std::int64_t> caption_row;
  std::pmr::vector<std::int64_t> indices;
  std::pmr::vector<std::int64_t> labels;
  SkipCounts skips{};
  std::vector<SkippedRecord> skipped;

  /// Evaluation only, until the batch is complete: the result of each row.
  struct FoundRow {
    std::optional<Skip> skip;
    std::vector<TokenId> tokens;
    std::vector<std::int64_t> pool;
  };
  std::vector<FoundRow> found;
};

/// Reused batch memory: grows to the number of batches alive at once. Thread-safe. Storage can
/// outlive it, but not `memory`.
class BatchRing {
 public:
  explicit BatchRing(std::pmr::memory_resource* memory);
  /// A free block; it returns to the ring when its last owner releases it.
  std::shared_ptr<Batch::Storage> Take();

 private:
  struct Shelf {
    Mutex mutex;
    std::vector<std::unique_ptr<Batch::Storage>> free FASTCLIP_GUARDED_BY(mutex);
  };
  std::pmr::memory_resource* memory_;
  std::shared_ptr<Shelf> shelf_;
};

}  // namespace fastclip
