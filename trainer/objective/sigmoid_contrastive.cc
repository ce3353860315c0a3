#include "trainer/objective/sigmoid_contrastive.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <limits>

#include "trainer/objective/logit_tiles.h"

namespace fastclip {
namespace {

// Over the logits of some rows against all columns.
struct Sums {
  at::Tensor features;  // Σ_j dL_ij/dz·y_j, [b, d]
  at::Tensor loss;      // Σ_ij −ln σ(y_ij·z_ij), 0-d
  at::Tensor slope;     // Σ_ij dL_ij/dz, 0-d
  at::Tensor found;     // rows whose positive has the largest logit, 0-d
};

Sums SumTiles(const at::Tensor& rows, const at::Tensor& columns, const at::Tensor& bias,
              std::int64_t first_row, std::int64_t tile) {
  const std::int64_t b = rows.size(0), n = columns.size(0);
  const std::int64_t width = TileWidth(b, n, tile, rows.device());
  Sums sums{.features = at::zeros_like(rows),
            .loss = at::zeros({}, rows.options()),
            .slope = at::zeros({}, rows.options()),
            .found = {}};
  at::Tensor largest, positive;  // logits, [b]
  for (std::int64_t first = 0; first < n; first += width) {
    const at::Tensor here = columns.narrow(0, first, std::min(width, n - first));
    // −z_ij·y_ij: the negatives' z as it is, the positives' with the sign turned.
    at::Tensor wrong = at::mm(rows, here.t()).add_(bias);  // [b, tile]
    const std::int64_t from = std::max(first, first_row);
    const std::int64_t to = std::min(first + here.size(0), first_row + b);
    const auto positives = [&](const at::Tensor& of) {
      return of.narrow(0, from - first_row, to - from)
          .narrow(1, from - first, to - from)
          .diagonal();
    };
    const at::Tensor own = from < to ? positives(wrong).clone() : at::Tensor();
    if (from < to) positives(wrong).fill_(-std::numeric_limits<double>::infinity());
    const at::Tensor top = at::amax(wrong, 1);
    largest = first == 0 ? top : at::maximum(largest, top);
    if (from < to) {
      positive = positive.defined() ? at::cat({positive, own}) : own;
      positives(wrong).copy_(-own);
    }
    sums.loss.sub_(at::log_sigmoid(-wrong).sum());
    at::Tensor slope = wrong.sigmoid_();
    if (from < to) positives(slope).neg_();
    sums.slope.add_(slope.sum());
    sums.features.addmm_(slope, here);
  }
  sums.found = positive.gt(largest).sum();
  return sums;
}

}  // namespace

ObjectiveResult SigmoidContrastive::Evaluate(const Features& features, const at::Tensor&,
                                             const StepScalars& scalars, Communicator&) const {
  const c10::NoGradGuard no_grad;
  const auto rows = static_cast<double>(features.global.image.size(0));
  const at::TensorOptions options = features.local.image.options();
  const at::Tensor scale = scalars.logit_scale.exp().to(options);  // 1/τ
  const at::Tensor bias = scalars.logit_bias.to(options);
  const Sums image =
      SumTiles(features.local.image * scale, features.global.text, bias, features.first_row, tile_);
  const Sums text =
      SumTiles(features.local.text * scale, features.global.image, bias, features.first_row, tile_);
  ObjectiveResult result;
  result.features = {image.features * scale / rows, text.features * scale / rows};
  // S and 1/τ enter as a product only, hence dL/dt = Σ_i a_i·dL/da_i (Euler).
  result.parameters = {.logit_scale = (features.local.image * result.features.image).sum(),
                       .logit_bias = image.slope / rows};
  result.report.loss = image.loss / rows;  // each pair once, where its image is
  result.report.contrastive_loss = result.report.loss;
  result.report.in_batch_accuracy = (image.found + text.found).to(options).div_(2 * rows);
  const at::Tensor none = at::full({}, std::numeric_limits<double>::quiet_NaN(), options);
  result.report.log_u_mean = none;
  return result;
}

}  // namespace fastclip
