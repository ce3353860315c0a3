#include "trainer/step/train_step.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <optional>

#include "trainer/objective/temperature.h"

namespace fastclip {
namespace {

void Scale(const std::vector<at::Tensor>& tensors, double factor) {
  if (factor == 1 || tensors.empty()) return;
  const c10::NoGradGuard no_grad;
  at::_foreach_mul_(tensors, factor);
}

std::vector<at::Tensor> GradientsOf(const NamedTensors& parameters) {
  std::vector<at::Tensor> gradients;
  for (const auto& [name, parameter] : parameters) {
    if (parameter.grad().defined()) gradients.push_back(parameter.grad());
  }
  return gradients;
}

// What Forward writes into a model besides features, to be put back where the step is refused.
class BuffersBefore {
 public:
  explicit BuffersBefore(const NamedTensors& buffers) {
    for (const auto& [name, buffer] : buffers) before_.emplace_back(buffer, buffer.clone());
  }
  void PutBack() const {
    const c10::NoGradGuard no_grad;
    for (const auto& [buffer, values] : before_) buffer.copy_(values);
  }

 private:
  std::vector<std::pair<at::Tensor, at::Tensor>> before_;
};

}  // namespace

TrainStep::TrainStep(ClipModel& model, const ContrastiveObjective& objective, SampleTable& table,
                     Optimizer& optimizer, Communicator& comm, const StepOptions& options,
                     std::vector<std::int64_t> rows_per_rank)
    : model_(model),
      objective_(objective),
      table_(table),
      optimizer_(optimizer),
      comm_(comm),
      options_(options),
      rows_per_rank_(std::move(rows_per_rank)),
      towers_(model, options.precision.autocast),
      reducer_(Towers::BackwardOrder(model.described()), comm) {
  const auto mine = rows_per_rank_.begin() + comm_.rank();
  first_row_ = std::accumulate(rows_per_rank_.begin(), mine, std::int64_t{0});
  batch_size_ = std::accumulate(rows_per_rank_.begin(), rows_per_rank_.end(), std::int64_t{0});
}

Features TrainStep::Gather(const PerSide<at::Tensor>& local) {
  // One collective for both sides: [b, 2, d] → [B, 2, d].
  const at::Tensor all = comm_.AllGather(at::stack({local.image, local.text}, 1), rows_per_rank_);
  return {.local = local,
          .global = {.image = all.select(1, 0).contiguous(), .text = all.select(1, 1).contiguous()},
          .first_row = first_row_,
          .rows_per_rank = rows_per_rank_};
}

StepReport TrainStep::Run(const StepInput& input) {
  reducer_.Begin();
  const BuffersBefore buffers(model_.buffers());
  const PerSide<at::Tensor> local = towers_.Forward(input.micro);  // [b, d]
  const Features features = Gather(local);

  const double none = std::numeric_limits<double>::quiet_NaN();
  const bool has_state = !objective_.state_columns().empty();
  const StepScalars scalars{.logit_scale = model_.logit_scale().detach().clone(),
                            .logit_bias = model_.logit_bias(),
                            .gamma = input.gamma,
                            .lr_tau = input.rates.tau,
                            .epoch = input.epoch};
  const at::Tensor state =
      has_state ? table_.Read(input.indices).to(local.image.device()) : at::Tensor();
  ObjectiveResult result = objective_.Evaluate(features, state, scalars, comm_);

  const double scale = options_.precision.scales_gradients ? scaler_.scale : 1;
  Scale({result.features.image, result.features.text}, scale);
  towers_.Backward(input.micro, result.features, [this] { reducer_.BeginLast(); });
  const auto add_gradient = [&](at::Tensor gradient) -> std::optional<std::size_t> {
    if (!gradient.defined()) return std::nullopt;
    Scale({gradient}, scale);
    return reducer_.Add(gradient);
  };
  const auto scale_gradient = add_gradient(result.parameters.logit_scale);
  const auto bias_gradient = add_gradient(result.parameters.logit_bias);
  const std::size_t loss = reducer_.Add(result.report.loss);
  const std::size_t log_u = has_state ? reducer_.Add(result.report.log_u_mean) : 0;
  const bool has_taus = result.report.tau_mean.defined();
  const std::size_t tau = has_taus ? reducer_.Add(result.report.tau_mean) : 0;
  const auto add = [&](double number) {
    return reducer_.Add(at::full_like(result.report.loss, number, at::kDouble));
  };
  const std::size_t visits = add(static_cast<double>(result.report.first_visits));
  const std::size_t talk = add(input.wants_talk && input.wants_talk() ? 1 : 0);
  reducer_.Finish();
  const auto take_gradient = [&](const at::Tensor& parameter, std::optional<std::size_t> place) {
    if (place) parameter.mutable_grad() = reducer_.SumTensor(*place).to(parameter.dtype());
  };
  take_gradient(model_.logit_scale(), scale_gradient);
  take_gradient(model_.logit_bias(), bias_gradient);
  Scale(GradientsOf(model_.trainable()), 1 / scale);

  // Summed values decide: all ranks alike.
  const at::Tensor norm = ClipGradients(
      model_.trainable(),
      options_.clip_norm > 0 ? options_.clip_norm : std::numeric_limits<double>::infinity(),
      &comm_);
  StepReport report{
      .applied = std::isfinite(reducer_.Sum(loss)) && std::isfinite(norm.item<double>()),
      .loss = reducer_.Sum(loss),
      .log_u_mean = has_state ? reducer_.Sum(log_u) : none,
      .tau_mean = has_taus ? reducer_.Sum(tau) : none,
      .first_visits = reducer_.Sum(visits) / (2.0 * static_cast<double>(batch_size_)),
      .gradient_norm = norm.item<double>(),
      .to_talk = reducer_.Sum(talk) > 0};
  if (options_.precision.scales_gradients) {
    report.scale_shrank = !report.applied && scaler_.CanShrink();
    scaler_.Update(report.applied);
  }
  if (!report.applied) {  // neither parameters nor u are written, and running statistics stay
    buffers.PutBack();
    return report;
  }

  optimizer_.Step(input.rates);
  ClampLogitScale(model_.logit_scale());
  if (has_state) table_.Write(input.indices, result.state);
  return report;
}

}  // namespace fastclip
