#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "pipeline/records/known_bad.h"
#include "pipeline/records/skip.h"
#include "tokenizer/tokenizer.h"

namespace fastclip {

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

}  // namespace fastclip
