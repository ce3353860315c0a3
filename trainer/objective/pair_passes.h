#pragma once

#include <ATen/core/Tensor.h>

#include "trainer/objective/contrastive_objective.h"
#include "trainer/objective/logit_tiles.h"

namespace fastclip {

/// Shared by the contrastive objectives: both sides' differences to the positive pair,
///     d1_ij = (S_ij − S_ii)/τ1_i (image anchor i, text j),  d2_ij = (S_ji − S_ii)/τ2_i (text
///     anchor),
/// for this rank's rows i and all j ≠ i. The objectives differ only in the denominators D that they
/// compute between the two passes. Stacked tensors hold image anchors in row 0, text in row 1.
class PairPasses {
 public:
  /// `scale` is 1/τ: 0-d if all anchors share it, else this rank's, [2, b].
  PairPasses(const Features& features, const at::Tensor& scale, std::int64_t tile);

  /// The first pass: ln Σ_j exp(d_ij), [2, b].
  const at::Tensor& LogSumExp();
  /// max_j d_ij, [2, b]. After LogSumExp().
  const at::Tensor& largest() const { return largest_; }
  /// Sets contrastive_loss and in_batch_accuracy. After LogSumExp().
  void Report(LossReport& report) const;
  /// The second pass: with the D_i treated as constants and W_ij = exp(d_ij)/D_i, this rank's rows
  /// of
  ///     ½·∂/∂features of (1/N) Σ_ij (τ1_i·W1_ij + τ2_i·W2_ij)
  /// from `log_denominator`, ln D of all rows, [2, B], and `scale` of all rows, 0-d or [2, B].
  /// `weighted`, if given, gets Σ_j W_ij·d_ij, [2, b]. Called once, after LogSumExp().
  PerSide<at::Tensor> Gradients(const at::Tensor& log_denominator, const at::Tensor& scale,
                                at::Tensor* weighted = nullptr);

  /// This rank's columns of a stacked tensor over all rows: [2, B] → [2, b].
  at::Tensor OwnRows(const at::Tensor& all) const;

 private:
  PerSide<at::Tensor> local_;
  std::int64_t first_row_;
  at::Tensor positive_;  // S_jj, [B]
  at::Tensor scale_;     // of this rank's rows
  LogitTiles image_rows_;
  LogitTiles text_rows_;
  at::Tensor log_sum_;  // [2, b]
  at::Tensor largest_;  // [2, b]
};

}  // namespace fastclip
