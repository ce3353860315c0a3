#include "trainer/train_step.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "trainer/objective/temperature.h"

namespace fastclip {
namespace {

// What Forward writes into a model besides features, to be put back where the step is refused.
class BuffersBefore {
 public:
  explicit BuffersBefore(const NamedTensors& buffers) {
    for (const auto& [name, buffer] : buffers) before_.emplace_back(buffer, buffer.clone());
  }
  void PutBack() const {
    const at::NoGradGuard no_grad;
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
      towers_(model),
      reducer_(model.trainable(), comm) {
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

  const bool has_state = !objective_.state_columns().empty();
  const StepScalars scalars{.logit_scale = model_.logit_scale().detach().clone(),
                            .logit_bias = {},
                            .gamma = input.gamma,
                            .lr_tau = input.rates.tau,
                            .epoch = input.epoch};
  const at::Tensor state = has_state ? table_.Read(input.indices) : at::Tensor();
  const ObjectiveResult result = objective_.Evaluate(features, state, scalars, comm_);

  towers_.Backward(input.micro, result.features);
  if (objective_.learns_temperature()) {
    model_.logit_scale().mutable_grad() = result.parameters.at(0).to(model_.logit_scale().dtype());
  }
  const std::size_t loss = reducer_.Add(result.report.loss);
  const std::size_t log_u = has_state ? reducer_.Add(result.report.log_u_mean) : 0;
  const std::size_t visits =
      reducer_.Add(at::scalar_tensor(static_cast<double>(result.report.first_visits), at::kDouble));
  reducer_.Finish();

  // Summed values decide: all ranks alike.
  const at::Tensor norm = ClipGradients(
      model_.trainable(),
      options_.clip_norm > 0 ? options_.clip_norm : std::numeric_limits<double>::infinity());
  const StepReport report{
      .applied = std::isfinite(reducer_.Sum(loss)) && std::isfinite(norm.item<double>()),
      .loss = reducer_.Sum(loss),
      .log_u_mean = has_state ? reducer_.Sum(log_u) : std::numeric_limits<double>::quiet_NaN(),
      .first_visits = reducer_.Sum(visits) / (2.0 * static_cast<double>(batch_size_)),
      .gradient_norm = norm.item<double>()};
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
