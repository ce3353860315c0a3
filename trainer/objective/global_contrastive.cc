#include "trainer/objective/global_contrastive.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <cmath>

#include "trainer/objective/estimator.h"
#include "trainer/objective/pair_passes.h"

namespace fastclip {

std::vector<std::string> GlobalContrastive::state_columns() const {
  return {"log_u_image", "log_u_text"};
}

std::vector<double> GlobalContrastive::initial_state() const { return {kUnseenLogU, kUnseenLogU}; }

ObjectiveResult GlobalContrastive::Evaluate(const Features& features, const at::Tensor& state,
                                            const StepScalars& scalars, Communicator& comm) const {
  const c10::NoGradGuard no_grad;
  const at::Tensor& image = features.local.image;
  const auto rows = static_cast<double>(features.global.image.size(0));
  CheckHasNegatives(features);
  const at::Tensor scale = scalars.logit_scale.exp().to(image.options());  // 1/τ
  PairPasses passes(features, scale, options_.tile);

  // g_i = 1/(N−1) Σ_{j≠i} exp(d_ij)
  const double log_negatives = std::log(rows - 1);
  const at::Tensor log_g = (passes.LogSumExp() - log_negatives).t();  // [b, 2]
  const at::Tensor seen = Seen(state);
  const at::Tensor log_u = MovedLogU(state.to(log_g.options()), seen.to(log_g.device()), log_g,
                                     scalars);  // [b, 2]
  const at::Tensor all_log_u =
      comm.AllGather(log_u.contiguous(), features.rows_per_rank).t().contiguous();  // [2, B]

  // W_ij = exp(d_ij)/((N−1)(u_i + ε)); the new u, without a gradient of its own.
  const at::Tensor log_epsilon = at::full({}, std::log(options_.epsilon), log_u.options());
  const at::Tensor log_u_epsilon = at::logaddexp(all_log_u, log_epsilon);

  ObjectiveResult result;
  result.features = passes.Gradients(log_u_epsilon + log_negatives, scale);
  if (!variant_.times_tau) {
    result.features.image.mul_(scale);
    result.features.text.mul_(scale);
  }
  result.state = log_u.to(state.options());

  const at::Tensor log_u_share = log_u.sum().div_(2 * rows);  // of ½·mean(ln u1 + ln u2)
  if (variant_.learns_temperature) {
    // S and 1/τ enter as a product only, hence d/dt = Σ_i a_i·G_a,i (Euler).
    at::Tensor gradient = (image * result.features.image).sum();
    if (variant_.doubles_temperature_gradient) gradient.mul_(2);
    if (variant_.times_tau) {  // dL/dt = … − τ·(ρ + ½·mean(ln u1 + ln u2)), ρ by this rank's rows
      const double rho = options_.rho * static_cast<double>(image.size(0)) / rows;
      gradient.sub_((log_u_share + rho).div_(scale));
    }
    result.parameters.logit_scale = gradient;
  }
  result.report.loss = passes.OwnRows(log_u_epsilon).sum().div_(2 * rows).div_(scale);
  result.report.log_u_mean = log_u_share;
  passes.Report(result.report);
  result.report.first_visits = seen.logical_not().sum();
  return result;
}

}  // namespace fastclip
