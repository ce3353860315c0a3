#include "trainer/objective/minibatch_contrastive.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <limits>

#include "trainer/objective/pair_passes.h"

namespace fastclip {

ObjectiveResult MinibatchContrastive::Evaluate(const Features& features, const at::Tensor&,
                                               const StepScalars& scalars,
                                               Communicator& comm) const {
  const c10::NoGradGuard no_grad;
  const at::Tensor& image = features.local.image;
  const auto rows = static_cast<double>(features.global.image.size(0));
  const at::Tensor scale = scalars.logit_scale.exp().to(image.options());  // 1/τ
  PairPasses passes(features, scale, tile_);

  // A row's cross entropy is ln D_i, D_i = 1 + Σ_{j≠i} exp(d_ij): exact also where it is small.
  const at::Tensor& log_negatives = passes.LogSumExp();
  const at::Tensor loss = at::logaddexp(log_negatives, at::zeros({}, image.options()));  // [2, b]
  const at::Tensor log_denominator =
      comm.AllGather(loss.t().contiguous(), features.rows_per_rank).t().contiguous();  // [2, B]

  ObjectiveResult result;
  result.features = passes.Gradients(log_denominator, scale);
  result.features.image.mul_(scale);
  result.features.text.mul_(scale);
  // S and 1/τ enter as a product only, hence dL/dt = Σ_i a_i·dL/da_i (Euler).
  result.parameters.logit_scale = (image * result.features.image).sum();
  result.report.loss = loss.sum().div_(2 * rows);
  const at::Tensor none = at::full({}, std::numeric_limits<double>::quiet_NaN(), loss.options());
  result.report.log_u_mean = none;
  passes.Report(result.report);
  return result;
}

}  // namespace fastclip
