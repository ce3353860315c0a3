#include "trainer/objective/pair_passes.h"

#include <ATen/ATen.h>

namespace fastclip {

PairPasses::PairPasses(const Features& features, const at::Tensor& scale, std::int64_t tile)
    : local_(features.local),
      first_row_(features.first_row),
      positive_((features.global.image * features.global.text).sum(1).mul_(scale)),
      image_rows_(local_.image * scale, features.global.text, first_row_, tile),
      text_rows_(local_.text * scale, features.global.image, first_row_, tile) {}

at::Tensor PairPasses::OwnRows(const at::Tensor& all) const {
  return all.narrow(-1, first_row_, local_.image.size(0));
}

const at::Tensor& PairPasses::LogSumExp() {
  log_sum_ = at::stack({image_rows_.LogSumExp(), text_rows_.LogSumExp()}).sub_(OwnRows(positive_));
  return log_sum_;
}

PerSide<at::Tensor> PairPasses::Gradients(const at::Tensor& log_denominator) {
  // W1_ij = exp(S_ij/τ + weight1_i): an image row i holds its own W1_ij and, as the negative of
  // text anchor j, W2_ji. M_ij = W1_ij + W2_ji, M_ii = −Σ_j (W1_ij + W2_ij); G_a = M·b, G_b = Mᵀ·a,
  // over 2N.
  const at::Tensor weight = (log_denominator + positive_).neg_();  // [2, B]
  const at::Tensor own_weight = OwnRows(weight);                   // [2, b]
  const at::Tensor pull =
      (log_sum_ - OwnRows(log_denominator)).exp_().sum(0).unsqueeze_(1);  // −M_ii, [b, 1]
  const double per_row = 0.5 / static_cast<double>(positive_.size(0));
  return {image_rows_.WeightedSum(own_weight[0], weight[1]).sub_(pull * local_.text).mul_(per_row),
          text_rows_.WeightedSum(own_weight[1], weight[0]).sub_(pull * local_.image).mul_(per_row)};
}

}  // namespace fastclip
