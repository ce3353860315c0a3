#include "pipeline/loader/batch_buffer.h"

#include <utility>

namespace fastclip {

void Batch::Storage::Shape(std::int64_t new_step, std::int64_t new_epoch, int rows,
                           int new_image_size, int new_context_length) {
  step = new_step;
  epoch = new_epoch;
  image_size = new_image_size;
  context_length = new_context_length;
  const auto count = static_cast<std::size_t>(rows);
  pixels.resize(count * image_size * image_size * 3);
  tokens.resize(count * context_length);
  pool.resize(count);
  caption_row.resize(count);
  for (std::size_t row = 0; row < count; ++row) caption_row[row] = static_cast<std::int64_t>(row);
  indices.resize(count);
  labels.resize(count);
  skips = {};
  skipped.clear();
}

std::span<std::uint8_t> Batch::Storage::PixelsOf(int row) {
  const auto bytes = static_cast<std::size_t>(image_size) * image_size * 3;
  return std::span(pixels).subspan(row * bytes, bytes);
}

BatchRing::BatchRing(std::pmr::memory_resource* memory)
    : memory_(memory), shelf_(std::make_shared<Shelf>()) {}

std::shared_ptr<Batch::Storage> BatchRing::Take() {
  std::unique_ptr<Batch::Storage> storage;
  {
    const MutexLock lock(shelf_->mutex);
    if (!shelf_->free.empty()) {
      storage = std::move(shelf_->free.back());
      shelf_->free.pop_back();
    }
  }
  if (storage == nullptr) storage = std::make_unique<Batch::Storage>(memory_);
  // The shelf is shared, so that a batch may be dropped after its loader.
  return {storage.release(), [shelf = shelf_](Batch::Storage* used) {
            std::unique_ptr<Batch::Storage> returned(used);
            const MutexLock lock(shelf->mutex);
            shelf->free.push_back(std::move(returned));
          }};
}

}  // namespace fastclip
