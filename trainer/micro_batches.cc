#include <fmt/format.h>

#include <stdexcept>

#include "trainer/batch_tensors.h"

namespace fastclip {

std::vector<MicroBatch> MicroBatchesOf(const Batch& batch, int count, const TensorTarget& target) {
  const int rows = batch.rows();
  if (count < 1 || count > rows) {
    throw std::invalid_argument(fmt::format("{} micro-batches cannot be made of {} rows", count, rows));
  }
  const std::int64_t size = batch.image_size(), context = batch.context_length();
  std::vector<MicroBatch> micro;
  for (int i = 0; i < count; ++i) {
    const std::size_t first = static_cast<std::size_t>(rows) * i / count;
    const std::size_t length = static_cast<std::size_t>(rows) * (i + 1) / count - first;
    const std::size_t bytes = static_cast<std::size_t>(size * size * 3);
    const auto pixels = batch.pixels().subspan(first * bytes, length * bytes);
    CaptionTensors text = CaptionsOf(batch.tokens().subspan(first * context, length * context),
                                     batch.pool().subspan(first, length), context, target);
    micro.push_back({ImageTensor(pixels, static_cast<std::int64_t>(length), size, target),
                     std::move(text.tokens), std::move(text.pool)});
  }
  return micro;
}

}  // namespace fastclip
