#include "trainer/run/dry_run.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>

#include "pipeline/base/printable.h"
#include "pipeline/shards/index_files.h"
#include "trainer/adapt/s2ft.h"
#include "trainer/base/precision.h"
#include "trainer/config/resolved_config.h"
#include "trainer/objective/robustness.h"
#include "trainer/run/order_lines.h"
#include "trainer/run/planned_data.h"
#include "trainer/run/rank_memory.h"
#include "trainer/run/ranks.h"
#include "trainer/run/report_lines.h"
#include "trainer/run/resume_check.h"
#include "trainer/run/run_setup.h"
#include "trainer/run/start_check.h"
#include "trainer/run/zero_shot_set.h"
#include "trainer/state/checkpoint.h"
#include "trainer/state/estimator_file.h"
#include "trainer/state/start_estimators.h"
#include "trainer/state/start_weights.h"
#include "trainer/state/weights_origin.h"
#include "trainer/step/learner.h"

namespace fastclip {
namespace {

/// A run as a start would open it, in the same order.
class PlannedRun {
 public:
  PlannedRun(const LoadedConfig& config, const DryRunOptions& options)
      : config_(config),
        options_(options),
        shape_(config),
        precision_(PrecisionOf(config->train.precision, config->train.residual)),
        model_(MakeModel(*config, shape_.model, at::kMeta, shape_.classes.count)),
        found_(CheckedFolder(*config)),
        start_(CheckedStart()),
        data_(OpenPlanned(config, options.samples, shape_.classes)),
        plan_(PlanOfData(config, data_)),
        lanes_per_rank_(LanesPerRank(config, plan_, options.ranks)),
        objective_(MakeObjective(ObjectiveOf(*config))),
        optimizer_(MakeOptimizer(model_.described(), config->optimizer)) {
    CheckRecordable(config, options.ranks, on_gpu());
    CheckRecordedState(config, plan_, on_gpu());
    CheckLoader();
    if (!found_ && !config->train.init_estimators.empty()) {
      CheckEstimatorFile(config->train.init_estimators,
                         config->data.index_by.empty() ? plan_.options().size : 0);
    }
  }

  DryRunReport Describe() {
    DescribeModel();
    DescribeData();
    DescribeSteps();
    DescribeOrder();
    DescribeObjective();
    lines_.Add("optimizer", "{}", DescribeOptimizer(*config_));
    DescribeMemory();
    DescribeRunFolder();
    return {lines_.text(), total_steps() - (found_ ? found_->meta.step : 0), largest_rows()};
  }

 private:
  static std::optional<FoundCheckpoint> CheckedFolder(const TrainConfig& config) {
    CheckRunFolder(config.run);
    RefuseTakenFolder(config);
    return config.resume ? FindNewestCheckpoint(config.run) : std::nullopt;
  }

  std::unique_ptr<StartWeights> CheckedStart() const {
    if (found_) return nullptr;
    const std::string& init = config_->train.init;
    auto start = std::make_unique<StartWeights>(config_, shape_.model, shape_.vocabulary_hash,
                                                init.empty() ? "" : ResolveInit(config_).file);
    CheckFit(*start, shape_.model);
    return start;
  }

  bool on_gpu() const { return config_->train.device == "cuda" || options_.gpu_bytes > 0; }
  std::int64_t total_steps() const { return plan_.steps(config_->train.epochs); }
  std::int64_t largest_rows() const {
    return *std::ranges::max_element(lanes_per_rank_) * plan_.rows_per_lane();
  }
  double largest_share() const {
    return static_cast<double>(largest_rows()) / static_cast<double>(plan_.options().batch_size);
  }

  void CheckLoader() const {
    CheckMemory(config_, shape_.loader, largest_rows(), on_gpu() ? 2 : HeldBatches(*config_));
    if (!config_->data.val.empty() || !config_->eval.zeroshot.empty()) {
      CheckMemory(config_, shape_.loader, config_->eval.batch_size);
    }
  }

  void Warn(const std::vector<std::string>& warnings) {
    for (const std::string& line : warnings) lines_.Add("warning", "{}", line);
  }

  void DescribeModel() {
    const auto image = [](const Parameter& of) { return of.tower == Tower::kImage; };
    lines_.Add(
        "model", "{}: {} parameters (image {}, text {}); {} trainable", shape_.model.name,
        DescribeElements(Elements(model_, [](auto&) { return true; })),
        DescribeElements(Elements(model_, image)),
        DescribeElements(Elements(model_, [&](auto& of) { return !image(of); })),
        DescribeElements(Elements(model_, [](auto& of) { return of.tensor.requires_grad(); })));
    for (const std::string& line : DescribeTuners(model_, config_->adapt)) {
      lines_.Add("adapt", "{}", line);
    }
    if (!found_) {
      for (const std::string& line :
           DescribeChoice(config_->adapt, shape_.model, plan_.steps_per_epoch())) {
        lines_.Add("", "{}", line);
      }
    }
    lines_.Add("tokenizer", "{}: vocabulary {}, context length {}; {}", config_->data.tokenizer,
               shape_.tokenizer->vocab_size(), shape_.model.text.context_length, TrimOf(*config_));
    const DeviceChoice& chosen = config_.device_choice();
    lines_.Add("device", "{}{}; precision {}", config_->train.device,
               chosen.why.empty() ? "" : ": " + chosen.why, config_->train.precision);
    if (chosen.warn) Warn({"the run will use the CPU, although there may be a GPU"});
    const std::string& pinned = config_.cores().line;
    lines_.Add("threads", "{}{}", config_.DescribeThreads(), pinned.empty() ? "" : "; " + pinned);
    for (const Remark& of : RemarksOn(config_, on_gpu())) lines_.Add(of.kind, "{}", of.text);
  }

  void DescribeData() {
    if (!options_.samples.empty()) {
      lines_.Add("data", "{}: planned for {}, not opened", config_->data.train,
                 Counted(data_.source->size(), "record"));
    } else {
      DescribeParts("data", data_.parts);
      LookAt("data.train", config_->data.train, *data_.source,
             TrainSourceOf(*config_, shape_.classes));
      if (!config_->data.val.empty()) {
        const SourceOptions held_out = ValSourceOf(*config_, shape_.classes);
        const OpenedSource val = OpenListOf(config_, "data.val", config_->data.val, held_out);
        DescribeParts("data.val", val.parts);
        LookAt("data.val", config_->data.val, *val.source, held_out);
        lines_.Add("", "evaluated {}", DescribeEvery(config_->eval.every_epochs));
      }
      const ZeroShotSet zeroshot = ZeroShotSet::Open(config_, OtherSourceOf(*config_));
      if (zeroshot.source) {
        lines_.Add("zeroshot", "{}: {}, {} classes", config_->eval.zeroshot,
                   Counted(zeroshot.source->size(), "record"), zeroshot.prompts.classes.size());
        for (const std::string& line : zeroshot.Remarks()) lines_.Add("", "{}", line);
      }
      return;
    }
    for (const auto& [key, list] :
         {std::pair{"data.val", config_->data.val}, {"eval.zeroshot", config_->eval.zeroshot}}) {
      if (!list.empty()) lines_.Add("data", "{} = {}: not opened", key, list);
    }
  }

  void LookAt(const char* key, const std::string& list, const RecordSource& source,
              const SourceOptions& options) {
    for (const std::string& line :
         LookAtData(config_, key, list, source, options, shape_.classes)) {
      lines_.Add("", "{}", line);
    }
  }

  void DescribeParts(const char* name, const std::vector<PartInfo>& parts) {
    for (const PartInfo& part : parts) {
      if (name == std::string_view("data")) {
        bytes_ += static_cast<double>(part.bytes);
        only_tars_ = only_tars_ && part.kind == "tar";
      }
      if (part.bytes == 0) {  // not measured
        lines_.Add(name, "{}: {}", part.part, Counted(part.records, "record"));
        continue;
      }
      lines_.Add(name, "{}: {}, {}, {}{}", part.part, Counted(part.records, "record"),
                 Counted(part.files, part.kind + " file"),
                 DescribeBytes(static_cast<double>(part.bytes)), DescribeReading(part));
    }
    Warn(WarningLines(parts));
  }

  void DescribeSteps() {
    const OrderOptions& order = plan_.options();
    lines_.Add("steps", "{} of {} = {} of {}, {}; warmup {}",
               Counted(config_->train.epochs, "epoch"), plan_.steps_per_epoch(),
               Counted(total_steps(), "step"), Counted(order.batch_size, "row"),
               Counted(total_steps() * order.batch_size, "sample"),
               Counted(config_->learning_rate.warmup, "step"));
    Warn(ScheduleWarnings(*config_, {total_steps(), plan_.mean_steps_per_epoch()}));
    if (const std::string few = SubstituteWarning(plan_); !few.empty()) Warn({few});
    if (options_.ranks > 1) {
      lines_.Add("ranks", "{}: {}", options_.ranks, DescribeRows(lanes_per_rank_, plan_));
    }
  }

  void DescribeOrder() {
    std::optional<double> record_bytes;  // unknown if the data was not opened
    if (options_.samples.empty()) {
      const auto records = static_cast<double>(std::max<std::int64_t>(plan_.options().size, 1));
      record_bytes = only_tars_ ? bytes_ / records : MeanRecordBytes(*data_.source);
    }
    AddOrderLines(lines_, config_->data.train, plan_, record_bytes);
  }

  void DescribeStart() {
    if (!start_->file()) return;
    const std::string& path = start_->file()->path();
    if (config_->train.init.empty() || !options_.samples.empty()) {
      lines_.Add("weights", "from {}", path);
      return;
    }
    const StartEstimators estimators =
        FindStartEstimators(path, data_.source->hash(), objective_->state_columns());
    lines_.Add("init", "{}", estimators.line);
    if (estimators.table) NoteLostEstimators();
  }

  void NoteLostEstimators() {
    const std::string lost = LostEstimatorsNote(*config_);
    if (!lost.empty()) lines_.Add("note", "{}", lost);
  }

  void DescribeLabels() {
    lines_.Add("labels", "{}; head {}", shape_.classes.Describe(), config_->adapt.head);
    if (start_) DescribeStart();
    lines_.Add("state", "none");
  }

  void DescribeObjective() {
    if (config_->adapt.classifies()) return DescribeLabels();
    const GammaOptions& gamma = config_->gamma;
    const std::int64_t epochs = config_->train.epochs;
    const std::vector<std::string> columns = objective_->state_columns();
    lines_.Add("objective", "{}, {}{}", config_->objective.name, config_->objective.mode,
               columns.empty() ? "" : DescribeGamma(gamma, epochs));
    if (start_) {
      lines_.Add("temperature", "{}", DescribeTemperature(*config_, start_->temperature().tau));
      DescribeStart();
      for (const std::string& note : start_->notes()) lines_.Add("weights", "{}", note);
    }
    const bool imports = !found_ && !config_->train.init_estimators.empty();
    if (imports) NoteLostEstimators();
    if (imports && !config_->data.index_by.empty()) {
      lines_.Add("estimators",
                 "{}: a dry run does not check its keys against {}; a real start reads all records "
                 "to do so",
                 config_->train.init_estimators, config_->data.index_by);
    }
    const std::string rho =
        RhoWarning(config_->objective, gamma, plan_.options().batch_size, plan_.options().size);
    if (!rho.empty()) Warn({rho});
    if (columns.empty()) return lines_.Add("state", "none");
    const double cell = precision_.parameters == at::kDouble ? 8 : 4;
    lines_.Add("state", "{} per record ({}): {}",
               DescribeBytes(cell * static_cast<double>(columns.size())), fmt::join(columns, ", "),
               DescribeBytes(StateBytes(*objective_, plan_, precision_)));
  }

  void DescribeMemory() {
    const double state = largest_share() * StateBytes(*objective_, plan_, precision_);
    const std::int64_t gpu =
        !on_gpu() || options_.gpu_bytes > 0 ? options_.gpu_bytes : SmallestGpu();
    const std::string warning = AddMemoryLines(
        lines_,
        MemoryOf(*config_, shape_.model, model_, *optimizer_, state, options_.ranks, on_gpu()),
        {.rows = largest_rows(), .state = state, .gpu_bytes = static_cast<double>(gpu)});
    const std::string copy = DescribeSavedCopy(
        *config_, CheckpointBytes(model_, *optimizer_, *objective_, plan_, precision_));
    if (!copy.empty()) lines_.Add("", "{}", copy);
    if (!warning.empty()) Warn({warning});
  }

  void DescribeRunFolder() {
    const double checkpoint = CheckpointBytes(model_, *optimizer_, *objective_, plan_, precision_);
    lines_.Add("checkpoint", "{} {}, the last {} are kept: {}", DescribeBytes(checkpoint),
               DescribeEvery(config_->checkpoint.every_epochs, config_->checkpoint.every_steps),
               config_->checkpoint.keep,
               DescribeBytes(checkpoint * static_cast<double>(config_->checkpoint.keep)));
    const CheckpointSpace space = SpaceOf(*config_, checkpoint);
    CheckSpace(space, config_->run);
    if (const auto little = SpaceWarning(space, config_->run); !little.empty()) Warn({little});
    if (found_) return DescribeTheResume();
    lines_.Add("run folder", "{}{}{}", config_->run,
               std::filesystem::exists(config_->run) ? "" : " (not created)",
               config_->resume ? "; no checkpoint yet" : "");
    if (config_->resume) Warn({NothingToResume(*config_)});
  }

  void DescribeTheResume() {
    const ConfigValues values = ValuesOf(ResolvedConfig(*config_));
    const RunNow now{
        .config = *config_,
        .values = values,
        .model = shape_.model,
        .plan = plan_,
        .data_hash = options_.samples.empty() ? std::optional(data_.source->hash()) : std::nullopt,
        .data_files = data_.files,
        .vocabulary_hash = shape_.vocabulary_hash};
    RefuseOtherRun(*found_, now);
    for (const std::string& reason : found_->passed_over) {
      Warn({"skipped a damaged checkpoint: " + reason});
    }
    lines_.Add("run folder", "{}: resumes at step {} of {} ({})", config_->run, found_->meta.step,
               total_steps(), found_->path);
    for (const std::string& line : DescribeResume(*found_, now)) lines_.Add("", "{}", line);
    const std::string rounding =
        DescribeRounding(found_->meta, config_->train.threads, options_.ranks);
    if (!rounding.empty()) lines_.Add("", "{}", rounding);
  }

  const LoadedConfig& config_;
  const DryRunOptions& options_;
  RunShape shape_;
  Precision precision_;
  ClipModel model_;  // without memory
  std::optional<FoundCheckpoint> found_;
  std::unique_ptr<StartWeights> start_;  // null if it resumes
  OpenedSource data_;
  OrderPlan plan_;
  std::vector<std::int64_t> lanes_per_rank_;
  std::unique_ptr<ContrastiveObjective> objective_;
  std::unique_ptr<Optimizer> optimizer_;
  ReportLines lines_;
  bool only_tars_ = true;  // in data.train
  double bytes_ = 0;       // of data.train
};

}  // namespace

DryRunReport DryRun(const LoadedConfig& config, const DryRunOptions& options) {
  const WithoutIndexing nothing_is_written;
  return PlannedRun(config, options).Describe();
}

}  // namespace fastclip
