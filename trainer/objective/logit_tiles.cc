#include "trainer/objective/logit_tiles.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>
#include <utility>

namespace fastclip {

std::int64_t TileWidth(std::int64_t rows, std::int64_t columns, std::int64_t tile,
                       at::Device device) {
  // Logits of a tile in float32: on a CPU 4 MB, which leaves them and their exponentials in a
  // core's cache; on a GPU 256 MB, since a small tile costs more to start than to compute.
  const std::int64_t elements = std::int64_t{1} << (device.is_cpu() ? 20 : 26);
  if (tile <= 0) tile = std::max<std::int64_t>(elements / std::max<std::int64_t>(rows, 1), 1);
  // 1000 columns by at most 600 are two tiles of 500.
  const std::int64_t count = (columns + tile - 1) / tile;
  return (columns + count - 1) / count;
}

LogitTiles::LogitTiles(at::Tensor rows, at::Tensor columns, std::int64_t first_row,
                       std::int64_t tile)
    : rows_(std::move(rows)),
      columns_(std::move(columns)),
      first_row_(first_row),
      width_(TileWidth(rows_.size(0), columns_.size(0), tile, rows_.device())),
      count_((columns_.size(0) + width_ - 1) / width_) {}

std::int64_t LogitTiles::Width(std::int64_t k) const {
  return std::min(width_, columns_.size(0) - First(k));
}

void LogitTiles::FillPositives(at::Tensor tile, std::int64_t k, double value) const {
  const std::int64_t first = std::max(First(k), first_row_);
  const std::int64_t last = std::min(First(k) + Width(k), first_row_ + rows_.size(0));
  if (first >= last) return;
  tile.narrow(0, first - first_row_, last - first)
      .narrow(1, first - First(k), last - first)
      .diagonal()
      .fill_(value);
}

at::Tensor LogitTiles::Logits(std::int64_t k) const {
  at::Tensor logits = at::mm(rows_, columns_.narrow(0, First(k), Width(k)).t());  // [b, tile]
  FillPositives(logits, k, -std::numeric_limits<double>::infinity());
  return logits;
}

LogitTiles::RowSums LogitTiles::LogSumExp() {
  RowSums sums;
  for (std::int64_t k = 0; k < count_; ++k) {
    held_ = Logits(k);
    const at::Tensor part = at::logsumexp(held_, 1), top = at::amax(held_, 1);
    sums.log_sum = k == 0 ? part : at::logaddexp(sums.log_sum, part);
    sums.largest = k == 0 ? top : at::maximum(sums.largest, top);
  }
  return sums;
}

at::Tensor LogitTiles::WeightedSum(const Weights& by, const at::Tensor& from,
                                   at::Tensor* differences) {
  at::Tensor total;
  if (differences != nullptr) *differences = at::zeros_like(by.by_row);
  for (std::int64_t k = count_ - 1; k >= 0; --k) {
    const auto here = [&](const at::Tensor& columns) {
      return columns.narrow(0, First(k), Width(k));
    };
    at::Tensor logits = held_.defined() ? std::exchange(held_, {}) : Logits(k);
    at::Tensor weights = (logits + by.by_row.unsqueeze(1)).exp_();  // [b, tile]
    if (differences != nullptr) {
      const at::Tensor product = (logits - from.unsqueeze(1)).mul_(weights);
      FillPositives(product, k, 0);  // there it is −∞ times 0
      differences->add_(product.sum(1));
    }
    if (by.row_rescale.defined()) {
      logits.mul_(by.row_rescale.unsqueeze(1)).mul_(here(by.column_rescale));
    }
    weights.add_(logits.add_(here(by.by_column)).exp_());
    if (total.defined()) {
      total.addmm_(weights, here(columns_));
    } else {
      total = at::mm(weights, here(columns_));
    }
  }
  return total;
}

}  // namespace fastclip
