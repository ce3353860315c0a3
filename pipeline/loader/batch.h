#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "pipeline/records/known_bad.h"
#include "pipeline/records/skip.h"
#include "tokenizer/tokenizer.h"

namespace fastclip {

/// One rank's rows of a global batch. Move-only; its destructor returns the memory to the ring.
/// Training: one caption per row. Evaluation: all captions of an image, or none if it has a label;
/// caption_row has the row of each caption. A batch whose records are all bad has no rows.
class Batch {
 public:
  struct Storage;
  explicit Batch(std::shared_ptr<Storage> storage);
  Batch(Batch&&) noexcept;
  Batch& operator=(Batch&&) noexcept;
  ~Batch();

  std::int64_t step() const;  ///< global step (training) or number of the batch (evaluation)
  std::int64_t epoch() const;
  int rows() const;      ///< images, b
  int captions() const;  ///< captions, c; equals rows() in training
  int image_size() const;
  int context_length() const;
  std::span<std::uint8_t> pixels() const;       ///< [b, image_size, image_size, 3]
  std::span<TokenId> tokens() const;            ///< [c, context_length]
  std::span<std::int64_t> pool() const;         ///< [c] position of the end token
  std::span<std::int64_t> caption_row() const;  ///< [c] row of the image
  std::span<std::int64_t> indices() const;      ///< [b] SampleIndex
  std::span<std::int64_t> labels() const;       ///< [b], -1 where unknown
  /// Records skipped while making this batch; depends only on the data.
  const SkipCounts& skips() const;
  /// The same as a list, sorted by index; a record that two rows skipped appears twice.
  std::span<const SkippedRecord> skipped() const;

 private:
  std::shared_ptr<Storage> storage_;
};

}  // namespace fastclip
