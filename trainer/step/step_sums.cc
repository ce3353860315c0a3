#include "trainer/step/step_sums.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <limits>

namespace fastclip {
namespace {

std::optional<std::int64_t> AddGradient(GradientReducer::Pass& pass, const at::Tensor& gradient,
                                        const at::Tensor& scale) {
  if (!gradient.defined()) return std::nullopt;
  ScaleGradients({gradient}, scale);
  return pass.Add(gradient);
}

}  // namespace

void ScaleGradients(const std::vector<at::Tensor>& gradients, const at::Tensor& factor) {
  if (!factor.defined() || gradients.empty()) return;
  const c10::NoGradGuard no_grad;
  at::_foreach_mul_(gradients, factor.to(gradients.front().scalar_type()));
}

StepSums::StepSums(GradientReducer::Pass& pass, const ObjectiveResult& result,
                   const at::Tensor& scale, const at::Tensor& talk) {
  scale_gradient_ = AddGradient(pass, result.parameters.logit_scale, scale);
  bias_gradient_ = AddGradient(pass, result.parameters.logit_bias, scale);
  loss_ = pass.Add(result.report.loss);
  contrastive_ = pass.Add(result.report.contrastive_loss);
  accuracy_ = pass.Add(result.report.in_batch_accuracy);
  const bool has_state = result.state.defined();
  if (has_state) log_u_ = pass.Add(result.report.log_u_mean);
  if (result.report.tau_mean.defined()) tau_ = pass.Add(result.report.tau_mean);
  if (result.report.first_visits.defined()) visits_ = pass.Add(result.report.first_visits);
  talk_ = pass.Add(talk);
}

void StepSums::GiveGradients(const at::Tensor& sums, const ClipModel& model) const {
  const auto give = [&](const at::Tensor& parameter, std::optional<std::int64_t> place) {
    if (place && parameter.requires_grad())
      parameter.mutable_grad() = sums[*place].to(parameter.dtype());
  };
  give(model.logit_scale(), scale_gradient_);
  give(model.logit_bias(), bias_gradient_);
}

StepReport StepSums::Report(const std::vector<double>& sums, std::int64_t batch_size) const {
  const auto value = [&](std::optional<std::int64_t> place) {
    return place ? sums[*place] : std::numeric_limits<double>::quiet_NaN();
  };
  return {.loss = sums[loss_],
          .contrastive_loss = sums[contrastive_],
          .in_batch_accuracy = sums[accuracy_],
          .log_u_mean = value(log_u_),
          .tau_mean = value(tau_),
          .first_visits = visits_ ? sums[*visits_] / (2.0 * static_cast<double>(batch_size)) : 0,
          .to_talk = sums[talk_] > 0};
}

}  // namespace fastclip
