#include "trainer/objective/logit_tiles.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>
#include <utility>

namespace fastclip {
namespace {

// Logits of a tile: 4 MB in float32, which leaves them and their exponentials in a core's cache.
constexpr std::int64_t kTileElements = std::int64_t{1} << 20;

// Columns a tile, evened out: 1000 columns by at most 600 are two tiles of 500.
std::int64_t TileWidth(std::int64_t rows, std::int64_t columns, std::int64_t tile) {
  if (tile <= 0) tile = std::max<std::int64_t>(kTileElements / std::max<std::int64_t>(rows, 1), 1);
  const std::int64_t count = (columns + tile - 1) / tile;
  return (columns + count - 1) / count;
}

}  // namespace

LogitTiles::LogitTiles(at::Tensor rows, at::Tensor columns, std::int64_t first_row,
                       std::int64_t tile)
    : rows_(std::move(rows)),
      columns_(std::move(columns)),
      first_row_(first_row),
      width_(TileWidth(rows_.size(0), columns_.size(0), tile)),
      count_((columns_.size(0) + width_ - 1) / width_) {}

std::int64_t LogitTiles::Width(std::int64_t k) const {
  return std::min(width_, columns_.size(0) - First(k));
}

at::Tensor LogitTiles::Logits(std::int64_t k) const {
  at::Tensor logits = at::mm(rows_, columns_.narrow(0, First(k), Width(k)).t());  // [b, tile]
  const std::int64_t first = std::max(First(k), first_row_);
  const std::int64_t last = std::min(First(k) + Width(k), first_row_ + rows_.size(0));
  if (first < last) {
    logits.narrow(0, first - first_row_, last - first)
        .narrow(1, first - First(k), last - first)
        .diagonal()
        .fill_(-std::numeric_limits<double>::infinity());
  }
  return logits;
}

at::Tensor LogitTiles::LogSumExp() {
  at::Tensor total;
  for (std::int64_t k = 0; k < count_; ++k) {
    held_ = Logits(k);
    const at::Tensor part = at::logsumexp(held_, 1);
    total = total.defined() ? at::logaddexp(total, part) : part;
  }
  return total;
}

at::Tensor LogitTiles::WeightedSum(const at::Tensor& by_row, const at::Tensor& by_column) {
  at::Tensor total;
  for (std::int64_t k = count_ - 1; k >= 0; --k) {
    at::Tensor logits = held_.defined() ? std::exchange(held_, {}) : Logits(k);
    at::Tensor weights = (logits + by_row.unsqueeze(1)).exp_();  // [b, tile]
    weights.add_(logits.add_(by_column.narrow(0, First(k), Width(k))).exp_());
    const at::Tensor columns = columns_.narrow(0, First(k), Width(k));
    if (total.defined()) {
      total.addmm_(weights, columns);
    } else {
      total = at::mm(weights, columns);
    }
  }
  return total;
}

}  // namespace fastclip
