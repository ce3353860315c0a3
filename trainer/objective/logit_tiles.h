#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace fastclip {

/// Columns per tile of a [rows, columns] matrix: `tile`, or if it is 0 as many as suit the device,
/// balanced over the tiles.
std::int64_t TileWidth(std::int64_t rows, std::int64_t columns, std::int64_t tile,
                       at::Device device);

/// The logits z_ij = x_i·y_j of this rank's rows x with all columns y except the row's positive
/// pair (first_row + i, where exp z = 0). The matrix is never stored whole: it is computed in tiles
/// of columns, in two passes with an exchange between ranks in between.
///
/// LogSumExp() is the first pass, WeightedSum() the second; call each once, in this order. The
/// second runs backwards and starts with the tile that the first still holds, so that a batch of
/// one tile computes its logits once.
class LogitTiles {
 public:
  /// `rows` [b, d], already scaled; `columns` [B, d]. A tile of 0 chooses the width from b.
  LogitTiles(at::Tensor rows, at::Tensor columns, std::int64_t first_row, std::int64_t tile);

  /// Of each row, [b]; −inf where there is no other column.
  struct RowSums {
    at::Tensor log_sum;  ///< ln Σ_j exp(z_ij)
    at::Tensor largest;  ///< max_j z_ij
  };
  RowSums LogSumExp();

  /// Column weights of the second pass.
  struct Weights {
    at::Tensor by_row;     ///< [b]
    at::Tensor by_column;  ///< [B]
    /// The logit of column j's anchor is row_rescale_i·column_rescale_j·z_ij: [b] and [B] if
    /// anchors have their own scales, undefined if all share one.
    at::Tensor row_rescale, column_rescale;
  };
  /// Σ_j (exp(z_ij + by_row_i) + exp(z'_ij + by_column_j))·y_j, [b, d], z' the rescaled logit.
  /// `differences`, if given, gets Σ_j exp(z_ij + by_row_i)·(z_ij − from_i), [b], subtracted before
  /// summing because the terms nearly cancel.
  at::Tensor WeightedSum(const Weights& weights, const at::Tensor& from, at::Tensor* differences);

 private:
  std::int64_t First(std::int64_t k) const { return k * width_; }
  std::int64_t Width(std::int64_t k) const;
  at::Tensor Logits(std::int64_t k) const;
  void FillPositives(at::Tensor tile, std::int64_t k, double value) const;

  at::Tensor rows_;
  at::Tensor columns_;
  std::int64_t first_row_;
  std::int64_t width_;  // columns per tile; the last can have fewer
  std::int64_t count_;  // tiles
  at::Tensor held_;     // logits of the first pass's last tile
};

}  // namespace fastclip
