#include "trainer/objective/pair_passes.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace fastclip {
namespace {

// x_i·y_i of each row, some rows at a time: the product of all would be another [B, d].
at::Tensor RowDots(const at::Tensor& x, const at::Tensor& y, std::int64_t tile) {
  const std::int64_t rows = x.size(0), step = TileWidth(x.size(1), rows, tile, x.device());
  at::Tensor dots = at::empty({rows}, x.options());
  for (std::int64_t first = 0; first < rows; first += step) {
    const auto here = [&](const at::Tensor& of) {
      return of.narrow(0, first, std::min(step, rows - first));
    };
    at::Tensor out = here(dots);
    at::sum_out(out, here(x) * here(y), 1);
  }
  return dots;
}

// Features times the scale of their anchors: side 0 image, 1 text.
at::Tensor Scaled(const at::Tensor& rows, const at::Tensor& scale, std::int64_t side) {
  return rows * (scale.dim() == 0 ? scale : scale[side].unsqueeze(1));
}

}  // namespace

PairPasses::PairPasses(const Features& features, const at::Tensor& scale, std::int64_t tile)
    : local_(features.local),
      first_row_(features.first_row),
      positive_(RowDots(features.global.image, features.global.text, tile)),
      scale_(scale),
      image_rows_(Scaled(local_.image, scale, 0), features.global.text, first_row_, tile),
      text_rows_(Scaled(local_.text, scale, 1), features.global.image, first_row_, tile) {}

at::Tensor PairPasses::OwnRows(const at::Tensor& all) const {
  return all.narrow(-1, first_row_, local_.image.size(0));
}

const at::Tensor& PairPasses::LogSumExp() {
  const at::Tensor positive = OwnRows(positive_) * scale_;  // [b] or [2, b]
  const LogitTiles::RowSums image = image_rows_.LogSumExp(), text = text_rows_.LogSumExp();
  log_sum_ = at::stack({image.log_sum, text.log_sum}).sub_(positive);
  largest_ = at::stack({image.largest, text.largest}).sub_(positive);
  return log_sum_;
}

void PairPasses::Report(LossReport& report) const {
  // An anchor's cross-entropy is ln(1 + Σ_{j≠i} exp(d_ij)); its own d_ii is 0.
  const double anchors = 2.0 * static_cast<double>(positive_.size(0));
  report.contrastive_loss =
      at::logaddexp(log_sum_, at::zeros({}, log_sum_.options())).sum().div_(anchors);
  report.in_batch_accuracy = largest_.lt(0).sum().to(log_sum_.scalar_type()).div_(anchors);
}

PerSide<at::Tensor> PairPasses::Gradients(const at::Tensor& log_denominator,
                                          const at::Tensor& scale, at::Tensor* weighted) {
  // W1_ij = exp(S_ij/τ1_i + weight1_i): an image row i holds its own W1_ij and, as the negative of
  // text anchor j, W2_ji. M_ij = W1_ij + W2_ji, M_ii = −Σ_j (W1_ij + W2_ij); G_a = M·b, G_b = Mᵀ·a,
  // over 2N.
  const at::Tensor weight = (log_denominator + positive_ * scale).neg_();   // [2, B]
  const at::Tensor own_weight = OwnRows(weight);                            // [2, b]
  const at::Tensor own_sum = (log_sum_ - OwnRows(log_denominator)).exp_();  // Σ_j W_ij, [2, b]
  const at::Tensor pull = own_sum.sum(0).unsqueeze_(1);                     // −M_ii, [b, 1]
  const double per_row = 0.5 / static_cast<double>(positive_.size(0));

  const at::Tensor positive = (OwnRows(positive_) * scale_).expand({2, -1});
  PerSide<at::Tensor> sums;  // Σ_j W_ij·d_ij
  const auto side = [&](LogitTiles& tiles, std::int64_t own, const at::Tensor& others,
                        at::Tensor& sum) {
    LogitTiles::Weights by{.by_row = own_weight[own],
                           .by_column = weight[1 - own],
                           .row_rescale = {},
                           .column_rescale = {}};
    if (scale.dim() > 0) {
      by.row_rescale = scale_[own].reciprocal();
      by.column_rescale = scale[1 - own];
    }
    return tiles.WeightedSum(by, positive[own], weighted == nullptr ? nullptr : &sum)
        .sub_(pull * others)
        .mul_(per_row);
  };
  PerSide<at::Tensor> gradients{side(image_rows_, 0, local_.text, sums.image),
                                side(text_rows_, 1, local_.image, sums.text)};
  if (weighted != nullptr) *weighted = at::stack({sums.image, sums.text});
  return gradients;
}

}  // namespace fastclip
