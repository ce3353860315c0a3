#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace fastclip {

/// The logits z_ij = x_i·y_j of this rank's rows x against all columns y but the row's own
/// (first_row + i, its positive pair: exp z = 0 there). They are never held whole, but worked on in
/// tiles of some columns, in two passes with an exchange between ranks in the middle.
///
/// LogSumExp() is the first pass, WeightedSum() the second; each may be called once, in this order.
/// The second goes backwards and begins with the tile that the first still holds, so that a batch
/// of one tile computes its logits once.
class LogitTiles {
 public:
  /// `rows` [b, d] carry the scale already; `columns` [B, d]. A tile of 0 picks the width from b.
  LogitTiles(at::Tensor rows, at::Tensor columns, std::int64_t first_row, std::int64_t tile);

  /// ln Σ_j exp(z_ij), [b]; −inf where there is no other column.
  at::Tensor LogSumExp();
  /// Σ_j (exp(z_ij + by_row_i) + exp(z_ij + by_column_j))·y_j, [b, d], of `by_row` [b] and
  /// `by_column` [B].
  at::Tensor WeightedSum(const at::Tensor& by_row, const at::Tensor& by_column);

 private:
  std::int64_t First(std::int64_t k) const { return k * width_; }
  std::int64_t Width(std::int64_t k) const;
  at::Tensor Logits(std::int64_t k) const;

  at::Tensor rows_;
  at::Tensor columns_;
  std::int64_t first_row_;
  std::int64_t width_;  // columns of every tile but perhaps the last
  std::int64_t count_;  // tiles
  at::Tensor held_;     // logits of the first pass's last tile
};

}  // namespace fastclip
