#include "trainer/step/train_step.h"

#include <ATen/ATen.h>
#include <c10/core/Event.h>
#include <c10/core/GradMode.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <exception>
#include <limits>
#include <memory>
#include <numeric>
#include <optional>
#include <utility>

#include "pipeline/base/counter_random.h"
#include "trainer/objective/temperature.h"

namespace fastclip {
namespace {

// `factor`: 0-d float64, or undefined for 1.
void Scale(const std::vector<at::Tensor>& tensors, const at::Tensor& factor) {
  if (!factor.defined() || tensors.empty()) return;
  const c10::NoGradGuard no_grad;
  at::_foreach_mul_(tensors, factor.to(tensors.front().scalar_type()));
}

std::vector<at::Tensor> GradientsOf(const NamedTensors& parameters) {
  std::vector<at::Tensor> gradients;
  for (const auto& [name, parameter] : parameters) {
    if (parameter.grad().defined()) gradients.push_back(parameter.grad());
  }
  return gradients;
}

// What Forward writes into a model besides features, to be put back where the step is refused, or
// is left by an exception before it writes anything else.
class BuffersBefore {
 public:
  BuffersBefore(const NamedTensors& buffers, const bool& writing)
      : writing_(writing), exceptions_(std::uncaught_exceptions()) {
    for (const auto& [name, buffer] : buffers) before_.emplace_back(buffer, buffer.clone());
  }
  ~BuffersBefore() {
    if (std::uncaught_exceptions() == exceptions_ || writing_) return;
    try {
      const c10::NoGradGuard no_grad;
      for (const auto& [buffer, values] : before_) buffer.copy_(values);
    } catch (const std::exception&) {  // the first one is under way
    }
  }
  BuffersBefore(const BuffersBefore&) = delete;
  BuffersBefore& operator=(const BuffersBefore&) = delete;

  void PutBackIf(const Refusal& refusal) const {
    if (!refusal.known() && !refusal.on_device().defined()) return;
    const c10::NoGradGuard no_grad;
    for (const auto& [buffer, values] : before_) {
      buffer.copy_(refusal.known() ? values : refusal.Choose(values, buffer));
    }
  }

 private:
  const bool& writing_;
  int exceptions_;
  std::vector<std::pair<at::Tensor, at::Tensor>> before_;
};

/// A copy of device values that the host reads later, without a wait until then.
class LateCopy {
 public:
  /// `values`: [n] float64.
  explicit LateCopy(const at::Tensor& values) : host_(values) {
    if (values.is_cpu()) return;
    host_ = at::empty(values.sizes(), at::TensorOptions(at::kDouble).pinned_memory(true));
    host_.copy_(values, /*non_blocking=*/true);
    const c10::impl::VirtualGuardImpl device(values.device().type());
    done_ = std::make_unique<c10::Event>(values.device().type());
    done_->record(device.getStream(values.device()));
  }

  std::vector<double> Read() const {
    if (done_) done_->synchronize();
    const double* first = host_.const_data_ptr<double>();
    return {first, first + host_.numel()};
  }

 private:
  at::Tensor host_;
  std::unique_ptr<c10::Event> done_;
};

/// A step's scalars on their way through the sums over the ranks.
class StepSums {
 public:
  /// Adds what the objective gave, as gradients are `scale` times too large, and the wish to talk.
  StepSums(GradientReducer::Pass& pass, const ObjectiveResult& result, const at::Tensor& scale,
           bool wants_talk) {
    scale_gradient_ = AddGradient(pass, result.parameters.logit_scale, scale);
    bias_gradient_ = AddGradient(pass, result.parameters.logit_bias, scale);
    loss_ = pass.Add(result.report.loss);
    contrastive_ = pass.Add(result.report.contrastive_loss);
    accuracy_ = pass.Add(result.report.in_batch_accuracy);
    const bool has_state = result.state.defined();
    if (has_state) log_u_ = pass.Add(result.report.log_u_mean);
    if (result.report.tau_mean.defined()) tau_ = pass.Add(result.report.tau_mean);
    if (result.report.first_visits.defined()) visits_ = pass.Add(result.report.first_visits);
    talk_ = pass.Add(at::full_like(result.report.loss, wants_talk ? 1 : 0, at::kDouble));
  }

  at::Tensor loss(const at::Tensor& sums) const { return sums[loss_]; }

  /// Gives the parameters that no tower has their gradients.
  void GiveGradients(const at::Tensor& sums, ClipModel& model) const {
    const auto give = [&](const at::Tensor& parameter, std::optional<std::int64_t> place) {
      if (place && parameter.requires_grad())
        parameter.mutable_grad() = sums[*place].to(parameter.dtype());
    };
    give(model.logit_scale(), scale_gradient_);
    give(model.logit_bias(), bias_gradient_);
  }

  /// `sums`: the sums on the host.
  StepReport Report(const std::vector<double>& sums, std::int64_t batch_size) const {
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

 private:
  static std::optional<std::int64_t> AddGradient(GradientReducer::Pass& pass,
                                                 const at::Tensor& gradient,
                                                 const at::Tensor& scale) {
    if (!gradient.defined()) return std::nullopt;
    Scale({gradient}, scale);
    return pass.Add(gradient);
  }

  std::optional<std::int64_t> scale_gradient_, bias_gradient_, log_u_, tau_, visits_;
  std::int64_t loss_ = 0, contrastive_ = 0, accuracy_ = 0, talk_ = 0;
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
      scaler_(model.logit_scale().device()),
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

StepScalars TrainStep::ScalarsOf(const StepInput& input) const {
  return {.logit_scale = model_.logit_scale().detach().clone(),
          .logit_bias = model_.logit_bias(),
          .gamma = input.gamma,
          .lr_tau = input.rates.tau,
          .epoch = input.epoch};
}

LateReport TrainStep::Enqueue(const StepInput& input) {
  writing_ = false;
  const BuffersBefore buffers(model_.buffers(), writing_);
  GradientReducer::Pass pass = reducer_.Begin();
  const bool has_state = !objective_.state_columns().empty();
  const SampleTable::Rows rows = has_state ? table_.Find(input.indices) : SampleTable::Rows{};

  // Features of all ranks; u of this rank's rows, and the gradient of its features.
  const Features features = Gather(
      towers_.Forward(input.micro, Mix(input.draw, static_cast<std::uint64_t>(comm_.rank()))));
  const at::Tensor state =
      has_state ? table_.Read(rows).to(features.local.image.device()) : at::Tensor();
  const ObjectiveResult result = objective_.Evaluate(features, state, ScalarsOf(input), comm_);

  // Back through the towers, and summed over the ranks.
  const bool scales = options_.precision.scales_gradients;
  const at::Tensor scale = scales ? scaler_.scale() : at::Tensor();
  Scale({result.features.image, result.features.text}, scale);
  towers_.Backward(input.micro, result.features, [&] { pass.BeginLast(); });
  const StepSums scalars(pass, result, scale, input.wants_talk && input.wants_talk());
  const at::Tensor sums = std::move(pass).Finish();
  scalars.GiveGradients(sums, model_);
  Scale(GradientsOf(model_.trainable()), scales ? scale.reciprocal() : scale);

  // Summed values decide: all ranks alike. A refused step writes neither parameters nor u, and
  // running statistics stay.
  const at::Tensor norm =
      ClipGradients(
          model_.trainable(),
          options_.clip_norm > 0 ? options_.clip_norm : std::numeric_limits<double>::infinity(),
          &comm_)
          .to(sums.options());
  const at::Tensor refused =
      scalars.loss(sums).isfinite().logical_and(norm.isfinite()).logical_not();
  const Refusal refusal(refused);
  writing_ = true;
  const at::Tensor shrank = scales ? scaler_.Update(refused) : at::zeros_like(refused);
  buffers.PutBackIf(refusal);
  optimizer_.Step(input.rates, refusal);
  if (!refusal.known()) {
    ClampLogitScale(model_.logit_scale());
    if (has_state) table_.Write(rows, refusal.Choose(state, result.state));
  }

  std::vector<at::Tensor> late = {norm, refused, shrank, model_.logit_scale().detach()};
  if (input.rates.tau_on_device.defined()) late.push_back(input.rates.tau_on_device);
  for (at::Tensor& value : late) value = value.to(at::kDouble).reshape({1});
  late.insert(late.begin(), sums);
  std::vector<at::Tensor> kept = {rows.host};
  for (const MicroBatch& micro : input.micro) {
    kept.insert(kept.end(), {micro.kept_patches_host, micro.groups_host});
  }
  const auto copy = std::make_shared<LateCopy>(at::cat(late));
  const std::shared_ptr<Pending> calls = comm_.CallsSoFar();
  writing_ = false;
  return [this, scalars, lr_tau = input.rates.tau, kept, copy, calls, count = sums.numel()] {
    calls->Wait();
    const std::vector<double> read = copy->Read();
    const double* const more = read.data() + count;
    StepReport report = scalars.Report(read, batch_size_);
    report.gradient_norm = more[0];
    report.applied = more[1] == 0;
    report.scale_shrank = more[2] != 0;
    report.logit_scale = more[3];
    report.lr_tau = read.size() > static_cast<std::size_t>(count) + 4 ? more[4] : lr_tau;
    return report;
  };
}

}  // namespace fastclip
