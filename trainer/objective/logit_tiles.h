#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace fastclip {

/// Columns a tile of a [rows, columns] matrix: `tile`, or what fits a core's cache where it is 0,
/// evened out over the tiles.
std::int64_t TileWidth(std::int64_t rows, std::int64_t columns, std::int64_t tile);

/// The logits z_ij = x_i·y_j of this rank's rows x against all columns y but the row's own
/// (first_row + i, its positive pair: exp z = 0 there). They are never held whole, but worked on in
/// tiles of some columns, in two passes with an exchange between ranks in the middle.
///
/// LogSumExp() is the first pass, WeightedSum() the second; each may be called once, in this order.
/// The second goes backwards and begins with the tile that the first still holds, so that a batch
/// of one tile computes its logits once.
class LogitTiles {
 public:
  /// `rows` [b, d] carry their scale already; `columns` [B, d]. A tile of 0 picks the width from b.
  LogitTiles(at::Tensor rows, at::Tensor columns, std::int64_t first_row, std::int64_t tile);

  /// Of each row, [b]; −inf where there is no other column.
  struct RowSums {
    at::Tensor log_sum;  ///< ln Σ_j exp(z_ij)
    at::Tensor largest;  ///< max_j z_ij
  };
  RowSums LogSumExp();

  /// What the second pass weighs the columns with.
  struct Weights {
    at::Tensor by_row;     ///< [b]
    at::Tensor by_column;  ///< [B]
    /// What turns z_ij into the logit of column j's anchor, row_rescale_i·column_rescale_j·z_ij:
    /// [b] and [B] where anchors have scales of their own, undefined where all share one.
    at::Tensor row_rescale, column_rescale;
  };
  /// Σ_j (exp(z_ij + by_row_i) + exp(z'_ij + by_column_j))·y_j, [b, d], z' the rescaled logit.
  /// `differences`, where given, gets Σ_j exp(z_ij + by_row_i)·(z_ij − from_i), [b]: taken before
  /// they are summed, as the two nearly cancel.
  at::Tensor WeightedSum(const Weights& weights, const at::Tensor& from, at::Tensor* differences);

 private:
  std::int64_t First(std::int64_t k) const { return k * width_; }
  std::int64_t Width(std::int64_t k) const;
  at::Tensor Logits(std::int64_t k) const;
  void FillPositives(at::Tensor tile, std::int64_t k, double value) const;

  at::Tensor rows_;
  at::Tensor columns_;
  std::int64_t first_row_;
  std::int64_t width_;  // columns of every tile but perhaps the last
  std::int64_t count_;  // tiles
  at::Tensor held_;     // logits of the first pass's last tile
};

}  // namespace fastclip
