#include "trainer/step/learner.h"

#include <utility>

namespace fastclip {
namespace {

StepOptions StepOf(const TrainConfig& config, at::Device device) {
  StepOptions options{.clip_norm = config.train.clip_norm,
                      .precision = PrecisionOf(config.train.precision, config.train.residual),
                      .recorded = config.train.cuda_graphs && !device.is_cpu()};
  if (config.adapt.classifies()) options.labels = HeadInputOf(config.adapt.head);
  return options;
}

}  // namespace

ClipModel MakeModel(const TrainConfig& config, const ModelConfig& model, at::Device device,
                    std::int64_t classes) {
  ClipModel made(model, config.train.seed, config.temperature.init,
                 PrecisionOf(config.train.precision).parameters, config.model.lock, device);
  if (config.adapt.on()) AttachTuners(made, config.adapt, config.train.seed, classes);
  return made;
}

Learner::Learner(const TrainConfig& config, const ModelConfig& model_config, const OrderPlan& plan,
                 LaneRange lanes, std::vector<std::int64_t> rows_per_rank, Communicator& comm,
                 at::Device device, std::int64_t classes)
    : model(MakeModel(config, model_config, device, classes)),
      objective(MakeObjective(ObjectiveOf(config))),
      table(plan, lanes, objective->state_columns(), objective->initial_state(),
            PrecisionOf(config.train.precision).parameters),
      optimizer(MakeOptimizer(model.described(), config.optimizer)),
      step(model, *objective, table, *optimizer, comm, StepOf(config, device),
           std::move(rows_per_rank)) {
  model.set_grad_checkpointing(config.train.grad_checkpointing);
  const Precision precision = PrecisionOf(config.train.precision, config.train.residual);
  model.set_residual_fp32(precision.image_residual_fp32, precision.text_residual_fp32);
  if (config.model.sync_batch_norm) model.SyncBatchNormOver(comm);
}

bool Learner::reads_late() const {
  return !model.logit_scale().device().is_cpu() &&
         (table.columns().empty() || !table.values().is_cpu());
}

}  // namespace fastclip
