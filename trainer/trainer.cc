#include "trainer/trainer.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "trainer/batch_tensors.h"
#include "trainer/eval/encode_set.h"
#include "trainer/eval/retrieval.h"
#include "trainer/versions.h"

namespace fastclip {
namespace {

constexpr int kRefusedStepsInARow = 5;

std::string SkipsText(const SkipCounts& skips) {
  std::string text;
  for (int i = 0; i < kSkipCauses; ++i) {
    if (skips[i] > 0) {
      text += fmt::format("{}{} {}", text.empty() ? "" : ", ", skips[i],
                          SkipName(static_cast<Skip>(i)));
    }
  }
  return text.empty() ? "none" : text;
}

}  // namespace

Trainer::End Trainer::Run(const StopSignal& stop) {
  BatchLoader loader(*source_, plan_, lanes_, step_, total_steps_, *tokenizer_, loader_options_);
  while (step_ < total_steps_) {
    if (stop.received() != 0) {
      Save();
      console_.Say(fmt::format("stopped at step {} of {}; resume=true goes on from there", step_, total_steps_));
      return End::kStopped;
    }
    const double starved = loader.stats().starved_seconds;
    std::optional<Batch> batch = loader.Next();
    if (!batch) throw std::logic_error("the loader ended before the run");
    const StepReport report = TrainOn(*batch);
    clock_.StepDone(config_->train.batch_size, loader.stats().starved_seconds - starved);
    CountRefusal(report);
    ++step_;
    if (step_ % config_->train.log_every == 0 || step_ == total_steps_) Log(report, *batch);
    ShowProgress(report);

    const bool epoch_end = step_ % plan_.steps_per_epoch() == 0;
    const std::int64_t epochs = step_ / plan_.steps_per_epoch();
    const auto due = [&](std::int64_t every) {
      return epoch_end && every > 0 && (epochs % every == 0 || step_ == total_steps_);
    };
    clock_.Pause([&] {
      if (val_source_ && due(config_->eval.every_epochs)) EvaluateOrSave(&Trainer::Evaluate);
      if (zeroshot_.source && due(config_->eval.zeroshot_every_epochs)) {
        EvaluateOrSave(&Trainer::EvaluateZeroShot);
      }
      const std::int64_t every = config_->checkpoint.every_steps;
      if (due(config_->checkpoint.every_epochs) || step_ == total_steps_ ||
          (every > 0 && step_ % every == 0)) {
        Save();
      }
    });
  }
  console_.Say(fmt::format("done: {} steps; {}; records passed over: {}", step_, last_checkpoint_,
                           SkipsText(skips_)));
  return End::kDone;
}

StepReport Trainer::TrainOn(const Batch& batch) {
  for (int i = 0; i < kSkipCauses; ++i) skips_[i] += batch.skips()[i];
  gamma_ = Gamma(config_->gamma, epoch(), config_->train.epochs);
  rates_ = {LearningRate(config_->learning_rate, step_, total_steps_),
            TemperatureRate(config_->temperature, config_->learning_rate, step_, total_steps_,
                            model_.logit_scale())};
  const std::vector<MicroBatch> micro = MicroBatchesOf(
      batch, static_cast<int>(config_->train.micro_batches),
      {.dtype = model_.logit_scale().scalar_type(), .trim_text = config_->model.trim_text});
  return train_step_.Run({.micro = micro,
                          .indices = batch.indices(),
                          .epoch = epoch(),
                          .gamma = gamma_,
                          .rates = rates_});
}

void Trainer::CountRefusal(const StepReport& report) {
  if (report.applied) {
    refused_in_a_row_ = 0;
    return;
  }
  ++refused_;
  if (++refused_in_a_row_ < kRefusedStepsInARow) return;
  throw std::runtime_error(fmt::format(
      "loss or gradient was not finite in {} steps in a row, up to step {}: nothing of them was written. "
      "The last good checkpoint is {}. A lower optimizer.lr, a longer warm-up or train.clip_norm may help",
      kRefusedStepsInARow, step_, last_checkpoint_.empty() ? "none" : last_checkpoint_));
}

void Trainer::Log(const StepReport& report, const Batch& batch) {
  const RunClock::Rate rate = clock_.Look();
  const RunLog::Scalars scalars = {{"loss", report.loss},
                                   {"gradient_norm", report.gradient_norm},
                                   {"lr", rates_.model},
                                   {"lr_tau", rates_.tau},
                                   {"gamma", gamma_},
                                   {"tau", std::exp(-model_.logit_scale().item<double>())},
                                   {"log_u_mean", report.log_u_mean},
                                   {"first_visits", report.first_visits},
                                   {"samples_per_second", rate.samples_per_second},
                                   {"data_wait", rate.data_wait}};
  log_->Write("train", step_, scalars,
              {{"epoch", batch.epoch()},
               {"samples", step_ * config_->train.batch_size},
               {"refused_steps", refused_},
               {"skips", SkipsJson(skips_)}});
}

void Trainer::ShowProgress(const StepReport& report) {
  if (!console_.StatusDue()) return;
  console_.Status(fmt::format(
      "epoch {}/{}  step {}/{}  loss {:.4f}  tau {:.4f}  {:.0f} samples/s  data wait {:.0f}%  {} left",
      std::min(epoch() + 1, config_->train.epochs), config_->train.epochs, step_, total_steps_,
      report.loss, std::exp(-model_.logit_scale().item<double>()),
      static_cast<double>(config_->train.batch_size) / clock_.SecondsAStep(),
      100 * clock_.DataWait(), Duration(clock_.SecondsAStep() * static_cast<double>(total_steps_ - step_))));
}

EncodeOptions Trainer::EncodeForEval(const char* what, std::int64_t total) {
  return {.batch_size = static_cast<int>(config_->eval.batch_size),
          .target = {.dtype = model_.logit_scale().scalar_type(), .trim_text = config_->model.trim_text},
          .loader = config_->pipeline,
          .progress = [this, what, total](std::int64_t done) {
            if (console_.StatusDue()) console_.Status(fmt::format("{}: {} of {} records", what, done, total));
          }};
}

void Trainer::Evaluate() {
  const std::int64_t total = val_source_->size();
  const EncodedSet set = EncodeSet(
      model_, *val_source_, SampleIndex{0}, SampleIndex{total}, *tokenizer_,
      EncodeForEval("evaluating", total));
  const RetrievalMetrics metrics =
      ComputeRetrieval(set.features.image, set.features.text, set.caption_row);
  log_->Write("retrieval", step_, NamedRetrieval(metrics),
              {{"epoch", step_ / plan_.steps_per_epoch()},
               {"images", metrics.images},
               {"captions", metrics.captions},
               {"skips", SkipsJson(set.skips)}});
  console_.Say(fmt::format(
      "epoch {}: image to text R@1 {:.3f} R@10 {:.3f}, text to image R@1 {:.3f} R@10 {:.3f} ({} pictures)",
      step_ / plan_.steps_per_epoch(), metrics.image_to_text.recall_1, metrics.image_to_text.recall_10,
      metrics.text_to_image.recall_1, metrics.text_to_image.recall_10, metrics.images));
}

void Trainer::EvaluateOrSave(void (Trainer::*evaluate)()) {
  try {
    (this->*evaluate)();
  } catch (...) {  // the data of the evaluation is at fault: the epoch's work is not lost with it
    Save();
    throw;
  }
}

void Trainer::Save() {
  const std::int64_t metrics_bytes = log_->Sync();
  const CheckpointMeta meta{.step = step_,
                            .epoch = epoch(),
                            .order = plan_.options(),
                            .data_hash = source_->hash(),
                            .objective = config_->objective.name,
                            .mode = config_->objective.mode,
                            .model = model_config_.name,
                            .skips = skips_,
                            .refused_steps = refused_,
                            .refused_in_a_row = refused_in_a_row_,
                            .metrics_bytes = metrics_bytes,
                            .threads = at::get_num_threads(),
                            .versions = Versions()};
  CheckpointContent content{.model = model_.parameters(), .optimizer = optimizer_->state(), .states = {}};
  content.model.insert(content.model.end(), model_.buffers().begin(), model_.buffers().end());
  if (!objective_->state_columns().empty()) {
    std::vector<std::int64_t> sizes;
    for (std::int64_t lane = lanes_.first; lane < lanes_.last; ++lane) sizes.push_back(plan_.lane_size(lane));
    content.states.push_back({table_.columns(), lanes_, sizes, table_.values()});
  }
  SaveCheckpoint(config_->run, meta, content, static_cast<int>(config_->checkpoint.keep));
  last_checkpoint_ = fmt::format("{}/checkpoints/step_{}", config_->run, step_);
}

}  // namespace fastclip
