#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "comm/comm_error.h"
#include "comm/exchange.h"
#include "comm/gpu_driver.h"
#include "trainer/adapters/adapter_file.h"
#include "trainer/base/versions.h"
#include "trainer/model/presets.h"
#include "trainer/run/rank_memory.h"
#include "trainer/run/resume_check.h"
#include "trainer/run/trainer.h"
#include "trainer/state/adapter_tensors.h"
#include "trainer/state/weights_file.h"

// Evaluations and checkpoints: when they are due and how they run.

namespace fastclip {

/// Saving non-finite weights would push out good checkpoints. A collective.
void Trainer::RefuseBrokenWeights() {
  std::string bad;
  for (const NamedTensors* tensors :
       {&model().parameters(), &model().added(), &model().buffers()}) {
    if (bad.empty()) bad = FirstNotFinite(*tensors);
  }
  for (const std::string& found : GatherTexts(comm_, bad)) {
    if (found.empty()) continue;
    throw std::runtime_error(fmt::format(
        "the weights are not finite after step {} ({} is the first): nothing was saved, earlier "
        "checkpoints are kept. Last good checkpoint: {}. Try a lower learning_rate.lr, a longer "
        "warmup or train.clip_norm",
        step_, found, LastCheckpoint()));
  }
}

bool Trainer::IsDue(std::int64_t every_epochs) const {
  if (step_ == 0 || step_ != plan().steps(epoch()) || every_epochs == 0) return false;
  return epoch() % every_epochs == 0 || step_ == total_steps_;
}

bool Trainer::Owes(const Evaluator& evaluator) const {
  return IsDue(evaluator.every_epochs()) && evaluator.done_at != step_;
}

bool Trainer::OwesEvaluation() const {
  return std::ranges::any_of(evaluators_, [&](const auto& evaluator) { return Owes(*evaluator); });
}

/// While an evaluation is due, only a stop saves: a checkpoint includes its line of metrics.
bool Trainer::OwesCheckpoint() const {
  if (saved_ || step_ == 0 || OwesEvaluation()) return false;
  const std::int64_t every = config_->checkpoint.every_steps;
  return IsDue(config_->checkpoint.every_epochs) || step_ == total_steps_ ||
         (every > 0 && step_ % every == 0);
}

void Trainer::Evaluate(Evaluator& evaluator, const std::stop_token& stop) {
  EvaluationResult result = evaluator.Run({.model = model(),
                                           .tokenizer = *shape_.tokenizer,
                                           .target = Target(),
                                           .comm = comm_,
                                           .console = console_,
                                           .stop = stop});
  evaluator.done_at = step_;
  evaluator.brief = result.brief;
  RunLog* const log = folder_->log();
  if (log == nullptr) return;
  result.extra["epoch"] = epoch();
  // OpenCLIP logs evaluations over epochs.
  const RunLog::Board board{.group = "val", .prefix = result.board_prefix, .at = epoch()};
  KeepFailure([&] { log->Write(evaluator.event(), step_, result.scalars, result.extra, board); });
  console_.Say(fmt::format("epoch {}: {}", epoch(), result.text));
}

void Trainer::EvaluateOrSave(const std::stop_token& stop) {
  FinishSave();  // an evaluation can take long
  const Patience patience(comm_, config_->comm.patience);
  if (!config_->model.sync_batch_norm) BroadcastFromRank0(model().buffers());
  try {
    for (const auto& evaluator : evaluators_) {
      if (Owes(*evaluator)) Evaluate(*evaluator, stop);
    }
    saved_ = false;
  } catch (const EncodingStopped&) {
    // The run is saved without this evaluation; a resume evaluates first.
  } catch (const SharedError& error) {  // from the evaluation's data
    SaveAndThrow(error);
  } catch (const std::exception& error) {
    if (comm_.world_size() == 1) SaveAndThrow(error);
    throw;
  }
}

/// Enqueues a step. If the device lacks memory for it, a rank alone saves the last complete step.
/// Several cannot: the others wait in a collective.
void Trainer::TryStep(Batch batch, const std::function<bool()>& wants_talk) {
  const std::int64_t rows = batch.rows();
  std::string cause;
  try {
    return EnqueueStep(std::move(batch), wants_talk);
  } catch (const c10::OutOfMemoryError& error) {
    cause = CauseOf(error);  // what the step held is free from here on
  }
  const at::Device device = Target().device;
  const RankMemory memory = MemoryOf(*config_, shape_.model, model(), *learner_->optimizer,
                                     static_cast<double>(learner_->table.values().nbytes()),
                                     comm_.world_size(), !device.is_cpu());
  const double bytes =
      device.is_cuda() ? static_cast<double>(
                             AskGpuDriver().gpus.at(static_cast<std::size_t>(device.index())).bytes)
                       : 0;
  const std::string text = fmt::format("out of memory in step {}: {}. {}", step_ + 1, cause,
                                       AdviseOnMemory(memory, rows, bytes));
  if (comm_.world_size() > 1 || learner_->step.writing()) {
    throw std::runtime_error(fmt::format("{}. Last good checkpoint: {}", text, LastCheckpoint()));
  }
  SettleSteps(0);
  SaveAndThrow(std::runtime_error(text));
}

/// A log that cannot be written ends the run, but the run is still saved.
void Trainer::SyncLogs() {
  if (RunLog* const log = folder_->log()) KeepFailure([&] { log->Sync(); });
  KeepFailure([&] { folder_->quarantine().Write(comm_); });
}

std::string Trainer::LastCheckpoint() const {
  const std::string& last = folder_->checkpoints().last();
  return last.empty() ? "none" : last;
}

CheckpointMeta Trainer::MetaNow() {
  const RunLog* const log = folder_->log();
  std::optional<GradScaler::State> scaler;
  if (PrecisionOf(config_->train.precision).scales_gradients) {
    scaler = learner_->step.scaler().state();
  }
  return {.step = step_,
          .epoch = epoch(),
          .order = plan().options(),
          .data_hash = data_->train->hash(),
          .objective = config_->objective.name,
          .mode = config_->objective.mode,
          .model = shape_.model.name,
          .model_config = OpenClipJson(shape_.model),
          .tokenizer = config_->data.tokenizer,
          .vocabulary_hash = shape_.vocabulary_hash,
          .scaler = scaler,
          .skips = TotalSkips(),
          .refused_steps = refused_,
          .refused_in_a_row = refused_in_a_row_,
          .overflowed_steps = overflowed_,
          .metrics_bytes = log != nullptr ? log->metrics().length() : 0,
          .metrics_owed = log != nullptr ? log->metrics().owed() : "",
          .threads = at::get_num_threads(),
          .world_size = comm_.world_size(),
          .versions = Versions(),
          .config = config_values_};
}

CheckpointContent Trainer::ContentNow() const {
  CheckpointContent content;
  if (comm_.rank() == 0) {
    if (model().adapted()) {
      Adapter adapter = AdapterOf(model(), config_->adapt.tuners, base_hash_);
      if (shape_.classes.count > 0) {
        adapter.head = config_->adapt.head;
        adapter.classes = shape_.classes.names;
      }
      AdapterFiles files = FilesOf(adapter, Dialect::kHfClip, config_->run);
      content.model = std::move(files.tensors);
      content.adapter_metadata = std::move(files.metadata);
      content.adapter_config = std::move(files.config);
    } else {
      content.model = SavedTensors(model());
    }
    content.optimizer = learner_->optimizer->state();
  }
  if (!learner_->objective->state_columns().empty()) {
    std::vector<std::int64_t> sizes;
    for (std::int64_t lane = data_->lanes.first; lane < data_->lanes.last; ++lane)
      sizes.push_back(plan().lane_size(lane));
    content.state = {learner_->table.columns(), data_->lanes, sizes, learner_->table.values()};
  }
  return content;
}

CheckpointSpace Trainer::Space() const {
  return SpaceOf(
      *config_, CheckpointBytes(learner_->model, *learner_->optimizer, *learner_->objective, plan(),
                                PrecisionOf(config_->train.precision)));
}

/// Once a start, on rank 0. Whether the next checkpoint fits is checked where it is written.
void Trainer::SayIfSpaceIsShort() {
  if (comm_.rank() != 0 || said_short_space_ || step_ == total_steps_) return;
  const std::string warning = SpaceWarning(Space(), config_->run);
  said_short_space_ = !warning.empty();
  if (said_short_space_) console_.Say("warning: " + warning);
}

/// Saves the state of the last step, after the checkpoint that is being written. A collective.
void Trainer::Save(CheckpointWriter::How how) {
  using enum CheckpointWriter::How;
  SettleSteps(0);
  FinishSave();
  const Patience patience(comm_, config_->comm.patience);
  console_.Busy(how == kAtOnce ? fmt::format("saving step {} …", step_)
                               : fmt::format("copying step {} to save it …", step_));
  RefuseBrokenWeights();
  SayIfSpaceIsShort();
  SyncLogs();
  const bool copied = folder_->checkpoints().Save(MetaNow(), ContentNow(),
                                                  static_cast<int>(config_->checkpoint.keep), how);
  saved_ = true;
  if (how == kAtOnce || copied || said_no_copy_) return;
  said_no_copy_ = true;
  console_.Say(
      "note: not enough free host memory to copy the checkpoint, so training waited for the save "
      "(checkpoint.async)");
}

/// After a failure: a checkpoint that is still written is completed, or it is said that it is not.
void Trainer::SayUnlessSaved() {
  try {
    folder_->checkpoints().Finish();
  } catch (const std::exception& error) {
    console_.Say(fmt::format("warning: {}", error.what()));
  }
}

/// Completes the checkpoint that is written in the background, if its files are there; if one could
/// not be written, saves the last step at once and throws. A collective.
void Trainer::AdvanceSave() {
  if (!folder_->checkpoints().writing()) return;
  const Patience patience(comm_, config_->comm.patience);
  OrSaveAndThrow([&] { folder_->checkpoints().Advance(); });
}

/// The same, but waits. A collective.
void Trainer::FinishSave() {
  if (!folder_->checkpoints().writing()) return;
  OrSaveAndThrow([&] { AwaitSave(); });
}

void Trainer::AwaitSave() {
  const Patience patience(comm_, config_->comm.patience);
  console_.Busy(
      fmt::format("waiting until step {} is saved …", folder_->checkpoints().writing_step()));
  folder_->checkpoints().Finish();
}

void Trainer::OrSaveAndThrow(const std::function<void()>& save) {
  try {
    save();
  } catch (const CommError&) {
    throw;
  } catch (const std::exception& error) {
    saved_ = false;
    SaveAndThrow(error);
  }
}

/// The checkpoint of the last step is complete after this. A collective.
void Trainer::EnsureSaved() {
  if (saved_) return FinishSave();
  Save(CheckpointWriter::How::kAtOnce);
}

/// The failure left the state of the last complete step intact: saves it, then throws. A
/// collective.
void Trainer::SaveAndThrow(const std::exception& error) {
  std::string text = ErrorText(error);
  spare_files_.clear();
  const auto succeeds = [&](const std::function<void()>& save) {
    try {
      save();
      return true;
    } catch (const CommError&) {
      throw;
    } catch (const std::exception& second) {
      text += fmt::format("; then {}", ErrorText(second));
      return false;
    }
  };
  const bool written = !folder_->checkpoints().writing() || succeeds([&] { AwaitSave(); });
  saved_ = saved_ && written;
  const bool saved =
      step_ > 0 && (saved_ || succeeds([&] { Save(CheckpointWriter::How::kAtOnce); }));
  if (saved) {
    text += fmt::format("; step {} is saved: continue with {}", step_, HowToResume(*config_, text));
  }
  if (const auto* shared = dynamic_cast<const SharedError*>(&error)) {
    throw SharedError(shared->rank(), text);
  }
  throw std::runtime_error(text);
}

}  // namespace fastclip
