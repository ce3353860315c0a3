#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <chrono>
#include <filesystem>
#include <numeric>
#include <vector>

#include "comm/exchange.h"
#include "pipeline/base/printable.h"
#include "trainer/adapt/class_head.h"
#include "trainer/adapters/adapter_file.h"
#include "trainer/adapters/attach_adapter.h"
#include "trainer/adapters/merge_adapter.h"
#include "trainer/adapters/taken_columns.h"
#include "trainer/config/resolved_config.h"
#include "trainer/eval/zero_shot.h"
#include "trainer/run/opened_data.h"
#include "trainer/run/resume_check.h"
#include "trainer/run/run_setup.h"
#include "trainer/run/start_check.h"
#include "trainer/run/trainer.h"
#include "trainer/state/estimator_file.h"
#include "trainer/state/start_estimators.h"
#include "trainer/step/batch_tensors.h"
#include "trainer/step/column_calibration.h"
#include "trainer/step/pinned_memory.h"

// Resuming a run from its newest checkpoint, or starting one: estimators of another run's, S²FT's
// columns.

namespace fastclip {
namespace {

void SayPassedOver(const std::vector<std::string>& reasons, Console& console) {
  for (const std::string& reason : reasons) {
    console.Say(fmt::format("skipped a damaged checkpoint: {}", reason));
  }
}

}  // namespace

void Trainer::Resume(const FoundCheckpoint& found) {
  SayPassedOver(found.passed_over, console_);
  const RunNow now{.config = *config_,
                   .values = config_values_,
                   .model = shape_.model,
                   .plan = plan(),
                   .data_hash = data_->train->hash(),
                   .data_files = data_->files,
                   .vocabulary_hash = shape_.vocabulary_hash};
  RefuseOtherRun(found, now);
  const CheckpointMeta& meta = found.meta;

  if (model().adapted()) {
    SetLogitScale(LoadBase(FindInit()));
    const Adapter adapter = ReadAdapter(found.path);
    CheckBase(adapter, base_hash_, found.path, "the weights of model.pretrained or train.init");
    CheckClasses(adapter, found.path);
    TakeValues(learner_->model, adapter);
  } else {
    learner_->model.Load(LoadModel(found.path), found.path);
  }
  learner_->optimizer->LoadState(LoadOptimizer(found.path), found.path);
  if (!learner_->objective->state_columns().empty()) {
    const auto saved = OpenTable(found.path);
    if (!saved)
      throw std::runtime_error(
          fmt::format("{}: has no state files, which objective {} needs; use another checkpoint",
                      found.path, config_->objective.name));
    saved->Read(data_->lanes, learner_->table.values());
  }
  step_ = meta.step;
  if (comm_.rank() == 0) skips_ = meta.skips;
  skips_before_ = meta.skips;
  refused_ = meta.refused_steps;
  refused_in_a_row_ = meta.refused_in_a_row;
  overflowed_ = meta.overflowed_steps;
  if (meta.scaler) learner_->step.scaler().Set(*meta.scaler);
  folder_->checkpoints().GoOnFrom(found);
  saved_ = true;
  console_.Say(fmt::format("resumed {} at step {} of {}", found.path, step_, total_steps_));
  for (const std::string& line : DescribeResume(found, now)) console_.Say(line);
  const std::string rounding = DescribeRounding(meta, at::get_num_threads(), comm_.world_size());
  if (!rounding.empty()) console_.Say(rounding);
  resumed_ = ResumedConfig(found, *config_);
}

/// Loads the estimators of train.init if they belong to this data and objective. Their checkpoint
/// was checked before.
void Trainer::TakeEstimatorsOf(const std::string& weights) {
  const StartEstimators start =
      FindStartEstimators(weights, data_->train->hash(), learner_->objective->state_columns());
  console_.Say(start.line);
  if (!start.table) return;
  CarryOver(*start.table, OrderPlan(start.order), learner_->table);
  SayIfEstimatorsAreLost();
}

void Trainer::TakeEstimators(const std::string& file) {
  const std::string& field = config_->data.index_by;
  std::optional<RecordKeys> keys;
  if (!field.empty()) {
    using Clock = std::chrono::steady_clock;
    Clock::time_point said = {};
    const SourceOptions options = OfRank(TrainSourceOf(*config_), config_->data.train, comm_);
    keys.emplace(Rank0First(comm_, [&] {
      return RecordKeys(
          config_->data.train, field, options, [&](std::int64_t done, std::int64_t all) {
            if (Clock::now() - said < std::chrono::seconds(10)) return;
            said = Clock::now();
            console_.Say(
                fmt::format("reading {} of all records (only once): {} of {}", field, done, all));
          });
    }));
  }
  ImportedEstimators imported;
  Together(comm_, [&] {
    if (keys && keys->data_hash() != data_->train->hash()) {
      throw std::runtime_error(
          fmt::format("{}: changed while {} was read; restart", config_->data.train, field));
    }
    imported = ImportEstimators(file, keys ? &*keys : nullptr, learner_->table);
  });
  const auto sum = [&](std::int64_t mine) {
    const std::vector<std::int64_t> all = GatherNumbers(comm_, mine);
    return std::accumulate(all.begin(), all.end(), std::int64_t{0});
  };
  const std::int64_t records = sum(imported.records - imported.never_seen);
  const std::int64_t without_key = sum(imported.without_key);
  const std::int64_t not_finite = sum(imported.not_finite);
  console_.Say(fmt::format(
      "estimators of {} from {} ({}){}{}", Counted(records, "record"), file,
      fmt::join(imported.tensors, ", "),
      without_key == 0 ? ""
                       : fmt::format("; those of {} without {} start from scratch",
                                     Counted(without_key, "record"), field),
      not_finite == 0 ? ""
                      : fmt::format("; reset {} of u_im and u_tt that are NaN or infinite",
                                    Counted(not_finite, "value"))));
  SayIfEstimatorsAreLost();
}

void Trainer::SayIfEstimatorsAreLost() {
  const std::string note = LostEstimatorsNote(*config_);
  if (!note.empty()) console_.Say("note: " + note);
}

/// A head of other classes has other rows, or rows of another meaning.
void Trainer::CheckClasses(const Adapter& adapter, const std::string& where) const {
  const ClassSet& ours = shape_.classes;
  if (ours.count == 0) return;
  const std::int64_t theirs = ClassesOf(adapter);
  std::string change;
  if (theirs != ours.count) {
    change = fmt::format("has a head for {} classes, but {} has {}", theirs, ours.from, ours.count);
  } else {
    for (std::size_t i = 0; i < ours.names.size() && i < adapter.classes.size(); ++i) {
      if (ours.names[i] == adapter.classes[i]) continue;
      change = fmt::format("has '{}' as class {}, but {} has '{}'", Printable(adapter.classes[i]),
                           i, ours.from, Printable(ours.names[i]));
      break;
    }
  }
  if (change.empty()) return;
  throw std::runtime_error(fmt::format(
      "{}: {}; restore adapt.classes, or start a new run with another run=FOLDER", where, change));
}

/// The zero-shot classifier with the model's temperature, which scores cosines.
void Trainer::StartZeroShotHead() {
  console_.Busy("encoding the class names …");
  const EncodeOptions encode{.batch_size = static_cast<int>(config_->eval.batch_size),
                             .target = Target(),
                             .loader = config_->pipeline,
                             .progress = {},
                             .stop = {}};
  const ClassPrompts prompts{shape_.classes.names, ReadTemplates(config_->adapt.templates)};
  const at::Tensor rows = ClassWeights(model(), *shape_.tokenizer, prompts, encode);
  const at::NoGradGuard no_grad;
  HeadOf(model().added()).weight.copy_(rows * model().logit_scale().exp().to(at::kDouble));
}

/// Of S²FT, by weights and data. Rank 0's choice: scores computed by different processors could
/// differ in the last bit. A checkpoint has them, so a resume chooses nothing.
void Trainer::ChooseTrainedColumns() {
  SelectionData data;
  Together(comm_, [&] {
    try {
      data.taken = TakenColumns(config_->adapt.exclude, shape_.model, base_hash_);
    } catch (const std::runtime_error& error) {
      throw config_.table().Error("adapt.exclude", error.what());
    }
  });
  const CalibrationNeed need = NeedOf(config_->adapt, shape_.model);
  if (need != CalibrationNeed::kNothing) data.statistics = MeasureColumns(need);
  Together(comm_, [&] {
    try {
      ChooseColumns(model(), config_->adapt, data);
    } catch (const std::invalid_argument& error) {
      throw config_.table().Error("adapt.tuners", error.what());
    }
  });
  NamedTensors indices;
  for (const SelectedColumns& of : SelectedColumnsOf(model())) {
    indices.emplace_back(of.site, of.index.clone());
  }
  BroadcastFromRank0(indices);
  MoveColumns(model(), {indices.begin(), indices.end()});
}

/// On the run's first batches, which are loaded once more to train on.
std::map<std::string, ColumnStatistics> Trainer::MeasureColumns(CalibrationNeed need) {
  const std::int64_t batches = CalibrationBatches(config_->adapt, plan().steps_per_epoch());
  ColumnCalibration calibration(
      learner_->model, learner_->step, comm_, need,
      PrecisionOf(config_->train.precision, config_->train.residual).autocast);
  BatchLoader loader(*data_->train, plan(), data_->lanes, 0, batches, *shape_.tokenizer,
                     shape_.loader, LoaderRuntime{.memory = BatchMemory(Target().device)});
  for (std::int64_t i = 0; i < batches; ++i) {
    console_.Busy(fmt::format("choosing columns: batch {} of {} …", i + 1, batches));
    std::optional<Batch> batch;
    Together(comm_, [&] { batch = loader.Next(); });
    const std::vector<MicroBatch> micro = MicroBatchesFor(*batch, Target());
    calibration.Add({.micro = micro,
                     .indices = batch->indices(),
                     .epoch = plan().EpochOf(0),
                     .gamma = Gamma(config_->gamma, plan().EpochOf(0), config_->train.epochs),
                     .rates = {}});
  }
  for (const std::string& line :
       DescribeChoice(config_->adapt, shape_.model, plan().steps_per_epoch())) {
    console_.Say(line);
  }
  return calibration.Finish();
}

}  // namespace fastclip
