#include "trainer/step/train_step.h"

#include <ATen/ATen.h>
#include <c10/core/Event.h>
#include <c10/core/GradMode.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <exception>
#include <limits>
#include <memory>
#include <numeric>
#include <utility>

#include "pipeline/base/counter_random.h"
#include "trainer/objective/temperature.h"

namespace fastclip {
namespace {

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
      PutBack();
    } catch (const std::exception&) {  // the first one is under way
    }
  }
  BuffersBefore(const BuffersBefore&) = delete;
  BuffersBefore& operator=(const BuffersBefore&) = delete;

  void PutBack() const {
    const c10::NoGradGuard no_grad;
    for (const auto& [buffer, values] : before_) buffer.copy_(values);
  }
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

/// A step's work as its input gives it, not recorded.
StepWork WorkOf(const StepInput& input, const SampleTable::Rows& rows) {
  return {.micro = input.micro,
          .rows = rows,
          .scalars = {.logit_scale = {},
                      .logit_bias = {},
                      .gamma = input.gamma,
                      .lr_tau = input.rates.tau,
                      .epoch = input.epoch},
          .rates = input.rates,
          .draw = input.draw,
          .wants_talk = input.wants_talk};
}

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
  if (options_.labels) {
    label_pass_.emplace(model, *options_.labels, options_.precision.autocast, batch_size_);
  }
  if (options_.recorded) {
    recorded_.emplace(
        model.logit_scale().device(), [this](const StepWork& work) { return Compute(work); },
        [this] {
          for (const auto& [name, parameter] : model_.trainable()) {
            parameter.mutable_grad().reset();
          }
        });
  }
}

Features TrainStep::Gather(const PerSide<at::Tensor>& local) {
  // One collective for both sides: [b, 2, d] → [B, 2, d].
  const at::Tensor all = comm_.AllGather(at::stack({local.image, local.text}, 1), rows_per_rank_);
  return {.local = local,
          .global = {.image = all.select(1, 0).contiguous(), .text = all.select(1, 1).contiguous()},
          .first_row = first_row_,
          .rows_per_rank = rows_per_rank_};
}

at::Tensor TrainStep::StateOf(const SampleTable::Rows& rows) const {
  return objective_.state_columns().empty() ? at::Tensor()
                                            : table_.Read(rows).to(model_.logit_scale().device());
}

ObjectiveResult TrainStep::Backpropagate(const StepWork& work, const at::Tensor& state,
                                         const at::Tensor& scale,
                                         const std::function<void()>& before_last) {
  const std::uint64_t draw = Mix(work.draw, static_cast<std::uint64_t>(comm_.rank()));
  if (label_pass_) return label_pass_->Run(work.micro, draw, scale, before_last);
  // Features of all ranks; u of this rank's rows, and the gradient of its features.
  const Features features = Gather(towers_.Forward(work.micro, draw));
  StepScalars scalars = work.scalars;
  scalars.logit_scale = model_.logit_scale().detach().clone();
  scalars.logit_bias = model_.logit_bias();
  const ObjectiveResult result = objective_.Evaluate(features, state, scalars, comm_);
  ScaleGradients({result.features.image, result.features.text}, scale);
  towers_.Backward(work.micro, result.features, before_last);
  return result;
}

void TrainStep::Backward(const StepInput& input) {
  writing_ = false;
  const BuffersBefore buffers(model_.buffers(), writing_);
  const SampleTable::Rows rows =
      objective_.state_columns().empty() ? SampleTable::Rows{} : table_.Find(input.indices);
  // In float16 small gradients would vanish; a fixed factor does not change their order.
  const at::Tensor scale = options_.precision.scales_gradients
                               ? at::full({}, 1024, scaler_.scale().options())
                               : at::Tensor();
  Backpropagate(WorkOf(input, rows), StateOf(rows), scale, [] {});
  buffers.PutBack();
}

StepOutcome TrainStep::Compute(const StepWork& work) {
  const BuffersBefore buffers(model_.buffers(), writing_);
  GradientReducer::Pass pass = reducer_.Begin();
  const bool has_state = !objective_.state_columns().empty();

  const at::Tensor state = StateOf(work.rows);

  // Forward, back through the towers, and summed over the ranks.
  const bool scales = options_.precision.scales_gradients;
  const at::Tensor scale = scales ? scaler_.scale() : at::Tensor();
  const ObjectiveResult result = Backpropagate(work, state, scale, [&] { pass.BeginLast(); });
  const at::Tensor talk =
      work.talk.defined()
          ? work.talk
          : at::full_like(result.report.loss, work.wants_talk && work.wants_talk() ? 1 : 0,
                          at::kDouble);
  const StepSums places(pass, result, scale, talk);
  const at::Tensor sums = std::move(pass).Finish();
  places.GiveGradients(sums, model_);
  ScaleGradients(GradientsOf(model_.trainable()), scales ? scale.reciprocal() : scale);

  // Summed values decide: all ranks alike. A refused step writes neither parameters nor u, and
  // running statistics stay.
  const at::Tensor norm =
      ClipGradients(
          model_.trainable(),
          options_.clip_norm > 0 ? options_.clip_norm : std::numeric_limits<double>::infinity(),
          &comm_)
          .to(sums.options());
  const at::Tensor refused =
      places.loss(sums).isfinite().logical_and(norm.isfinite()).logical_not();
  const Refusal refusal(refused);
  writing_ = work.is_carried_out;
  const at::Tensor shrank = scales ? scaler_.Update(refused) : at::zeros_like(refused);
  buffers.PutBackIf(refusal);
  optimizer_.Step(work.rates, refusal);
  if (!refusal.known()) {
    ClampLogitScale(model_.logit_scale());
    if (has_state) {
      const at::Tensor written = refusal.Choose(state, result.state);
      if (table_.values().is_cpu()) comm_.CallsSoFar()->Wait();  // the host reads what it writes
      table_.Write(work.rows, written);
    }
  }

  std::vector<at::Tensor> late = {norm, refused, shrank, model_.logit_scale().detach()};
  if (work.rates.tau_on_device.defined()) late.push_back(work.rates.tau_on_device);
  for (at::Tensor& value : late) value = value.to(at::kDouble).reshape({1});
  late.insert(late.begin(), sums);
  return {.places = places, .values = at::cat(late), .sums = sums.numel()};
}

LateReport TrainStep::Enqueue(const StepInput& input) {
  writing_ = false;
  const bool has_state = !objective_.state_columns().empty();
  const SampleTable::Rows rows = has_state ? table_.Find(input.indices) : SampleTable::Rows{};
  std::vector<at::Tensor> kept = {rows.host};
  for (const MicroBatch& micro : input.micro) {
    kept.insert(kept.end(), {micro.kept_patches_host, micro.groups_host});
  }
  const StepOutcome outcome =
      recorded_ ? recorded_->Run(input, rows, kept) : Compute(WorkOf(input, rows));
  const auto copy = std::make_shared<LateCopy>(outcome.values);
  const std::shared_ptr<Pending> calls = comm_.CallsSoFar();
  writing_ = false;
  return [this, places = outcome.places, count = outcome.sums, rates = input.rates, kept, copy,
          calls] {
    calls->Wait();
    const std::vector<double> read = copy->Read();
    const double* const more = read.data() + count;
    StepReport report = places.Report(read, batch_size_);
    report.gradient_norm = more[0];
    report.applied = more[1] == 0;
    report.scale_shrank = more[2] != 0;
    report.logit_scale = more[3];
    report.lr_tau = rates.tau_on_device.defined() ? more[4] : rates.tau;
    return report;
  };
}

}  // namespace fastclip
