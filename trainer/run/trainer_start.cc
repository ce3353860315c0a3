#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>
#include <stdexcept>
#include <string_view>
#include <vector>

#include "comm/exchange.h"
#include "comm/launch.h"
#include "pipeline/base/printable.h"
#include "pipeline/base/suggested_command.h"
#include "pipeline/sources/open_source.h"
#include "trainer/adapt/s2ft.h"
#include "trainer/adapters/base_hash.h"
#include "trainer/base/kernels.h"
#include "trainer/base/upload.h"
#include "trainer/base/versions.h"
#include "trainer/config/resolved_config.h"
#include "trainer/model/presets.h"
#include "trainer/objective/robustness.h"
#include "trainer/run/order_lines.h"
#include "trainer/run/resume_check.h"
#include "trainer/run/run_data.h"
#include "trainer/run/run_setup.h"
#include "trainer/run/start_check.h"
#include "trainer/run/trainer.h"
#include "trainer/state/weights_origin.h"
#include "trainer/step/pinned_memory.h"

// Opening a run: everything that is checked and read before the first step.

namespace fastclip {
namespace {

std::string ElementsOf(const NamedTensors& tensors) {
  return DescribeElements(
      std::accumulate(tensors.begin(), tensors.end(), 0.0,
                      [](double sum, const auto& named) { return sum + named.second.numel(); }));
}

/// What the figures of the status line and of metrics.jsonl mean, a line each.
std::vector<std::string> DescribeLoss(const TrainConfig& config, const ClassSet& classes) {
  if (classes.count > 0) {
    return {fmt::format("loss: cross-entropy of the labels (chance {:.2f}; {}; head {})",
                        std::log(static_cast<double>(classes.count)), classes.Describe(),
                        config.adapt.head),
            "accuracy: share of the batch's images whose own class has the largest score"};
  }
  const std::string& name = config.objective.name;
  std::vector<std::string> lines = {
      name == "siglip" ? "loss: SigLIP's loss on the batch"
                       : fmt::format("loss: CLIP's contrastive loss on the batch (chance {:.2f})",
                                     std::log(static_cast<double>(config.train.batch_size))),
      "accuracy: share of the batch's images and captions whose pair has the highest similarity"};
  if (HasItsOwnLoss(name)) lines.push_back(fmt::format("objective: what {} minimizes", name));
  return lines;
}

}  // namespace

Trainer::Trainer(const LoadedConfig& config, const std::string& command, Communicator& comm,
                 at::Device device)
    : config_(config),
      config_values_(ValuesOf(ResolvedConfig(*config))),
      comm_(comm),
      console_(comm.rank() != 0, [this](const std::string& line) { console_log_.Add(line); }),
      shape_(config) {
  try {
    Start(command, device);
  } catch (const ConfigError& error) {
    const std::string_view reason = error.what();
    const std::string other =
        config_->resume ? OtherConfigNote(config_->run, config_values_) : std::string();
    if (other.empty() || reason.find(kUsesOwnConfig) != reason.npos) throw;
    throw ConfigError(fmt::format("{} ({})", error.what(), other));
  }
}

// These steps have collectives: every rank runs them in this order.
void Trainer::Start(const std::string& command, at::Device device) {
  const Patience patience(comm_, config_->comm.patience);
  CheckRecordable(config_, comm_.world_size(), !device.is_cpu());
  LockFolder();
  data_.emplace(OpenData(config_, shape_.classes, comm_, console_));
  CheckRecordedState(config_, plan(), !device.is_cpu());
  CheckMemory(config_, shape_.loader, data_->rows(), HeldBatches(*config_));
  evaluators_ = MakeEvaluators(*config_, shape_.classes, *data_);
  if (!evaluators_.empty()) CheckMemory(config_, shape_.loader, config_->eval.batch_size);
  UseKernels(config_->train.kernels);
  learner_.emplace(*config_, shape_.model, plan(), data_->lanes,
                   RowsPerRank(data_->lanes_per_rank, plan()), comm_, device, shape_.classes.count);
  total_steps_ = plan().steps(config_->train.epochs);
  if (config_->train.threads > 0) at::set_num_threads(config_->train.threads);
  RefuseUnlikeData();
  OpenRun(command);
  copies_ = StreamForCopies(Target().device);
  PlaceState();
  logit_scale_ = model().logit_scale().item<double>();
  SayWhatWillNotFit();
  SayWhatItIs();
}

/// Runs before data is opened, which can take long.
void Trainer::LockFolder() {
  folder_.emplace(config_->run, comm_);
  if (comm_.rank() != 0) return;
  RefuseTakenFolder(*config_);
  if (config_->resume) return;
  // A run or checkpoint is fully checked later, when it is read.
  const std::string& init = config_->train.init;
  const bool is_file = std::filesystem::is_regular_file(init);
  if (is_file || !config_->model.pretrained.empty()) {
    CheckFit(StartWeights(config_, shape_.model, shape_.vocabulary_hash, is_file ? init : ""),
             shape_.model);
  }
}

void Trainer::RefuseUnlikeData() {
  std::vector<std::pair<std::string, std::string>> data = {
      {"the hash of data.train", fmt::format("{:016x}", data_->train->hash())},
      {"the hash of the vocabulary", fmt::format("{:016x}", shape_.vocabulary_hash)}};
  const auto add = [&](const char* key, const RecordSource* source) {
    if (source == nullptr) return;
    data.emplace_back(fmt::format("the hash of {}", key), fmt::format("{:016x}", source->hash()));
  };
  add("data.val", data_->val.get());
  add("eval.zeroshot", data_->zeroshot.source.get());
  RefuseDifferences(
      data, comm_,
      "give all ranks the same data; where they have changed, index them again with " +
          SuggestedCommand("shards index"));
}

void Trainer::SayWhatItIs() {
  if (const DeviceChoice& chosen = config_.device_choice(); !chosen.why.empty()) {
    console_.Say(
        fmt::format("{}device {}: {}", chosen.warn ? "warning: " : "", chosen.device, chosen.why));
  }
  console_.Say(fmt::format(
      "model {}: {} parameters{}; {} in {}; {} of {}, batch size {}; {}", shape_.model.name,
      ElementsOf(model().parameters()),
      model().trainable().size() == model().parameters().size()
          ? ""
          : fmt::format(", {} of them trainable", ElementsOf(model().trainable())),
      Counted(data_->train->size(), "record"), Counted(plan().options().lanes, "lane"),
      Counted(config_->train.epochs, "epoch"), Counted(plan().steps_per_epoch(), "step"),
      config_->train.batch_size, config_.DescribeThreads()));
  for (const std::string& line : DescribeTuners(model(), config_->adapt)) {
    console_.Say("adapt " + line);
  }
  if (const std::string& line = config_.cores().line; !line.empty()) {
    console_.Say(comm_.world_size() == 1 ? line : "rank 0 is " + line + "; others likewise");
  }
  for (const std::string& line : DescribeLoss(*config_, shape_.classes)) console_.Say(line);
  if (const auto equal = FindEqualNames(data_->zeroshot.prompts.classes); !equal.empty()) {
    console_.Say(fmt::format("eval.zeroshot_classes: classes with equal names are kept apart: {}",
                             DescribeEqualNames(equal)));
  }
  for (const auto& [kind, text] : RemarksOn(config_, !Target().device.is_cpu())) {
    console_.Say(fmt::format("{}: {}", kind, text));
  }
  if (const std::string busy = BusyHost(*config_); !busy.empty()) console_.Say("note: " + busy);
  if (comm_.world_size() > 1) SayRanks();
  const std::string rho = RhoWarning(config_->objective, config_->gamma, config_->train.batch_size,
                                     data_->train->size());
  if (!rho.empty()) console_.Say("warning: " + rho);
}

/// After the state was filled, which is done on the CPU.
void Trainer::PlaceState() {
  const at::Device device = model().logit_scale().device();
  SampleTable& table = learner_->table;
  if (device.is_cpu() || table.columns().empty()) return;
  const auto bytes = static_cast<double>(table.values().nbytes());
  // All ranks alike, as they read a step's results equally late: the largest state decides.
  const bool moves = !AnyRank(comm_, !SampleTable::BelongsOnDevice(config_->train.state, bytes));
  console_.Say(fmt::format("per-sample state: {}, {}", DescribeBytes(bytes),
                           moves ? "in GPU memory" : "in host memory"));
  if (moves) table.MoveTo(device, copies_);
}

void Trainer::SayWhatWillNotFit() {
  const RunLength length{total_steps_, plan().mean_steps_per_epoch()};
  for (const std::string& line : ScheduleWarnings(*config_, length)) {
    console_.Say("warning: " + line);
  }
  if (const auto few = SubstituteWarning(plan()); !few.empty()) console_.Say("warning: " + few);
  Together(comm_, [&] {
    if (comm_.rank() == 0) CheckSpace(Space(), config_->run);
  });
  SayIfSpaceIsShort();
}

void Trainer::SayRanks() {
  std::string line =
      fmt::format("{} ranks, {}", comm_.world_size(), DescribeRows(data_->lanes_per_rank, plan()));
  const std::int64_t even = EvenDataLanes(plan(), comm_.world_size());
  if (IdleShare(data_->lanes_per_rank) > 0 && config_->data.lanes_per_rank.empty() && even != 0) {
    line += fmt::format(" (0% with data.lanes = {} in a new run)", even);
  }
  console_.Say(line);
}

void Trainer::OpenRun(const std::string& command) {
  folder_->RefuseAFolderOfItsOwn();
  const auto found = config_->resume ? folder_->FindCheckpoint() : std::nullopt;
  if (found) {
    Resume(*found);
  } else {
    if (config_->resume) console_.Say("warning: " + NothingToResume(*config_));
    StartFromWeights();
    if (!config_->train.init_estimators.empty()) TakeEstimators(config_->train.init_estimators);
    if (config_->adapt.classifies() && config_->adapt.head == "zeroshot") StartZeroShotHead();
    if (HasColumns(config_->adapt, shape_.model)) ChooseTrainedColumns();
  }
  config_values_ = ValuesOf(ResolvedConfig(UsedConfig()));
  // Weights computed or read by different processors could differ in the last bit.
  BroadcastFromRank0(model().parameters());
  BroadcastFromRank0(model().added());
  BroadcastFromRank0(model().buffers());
  if (comm_.rank() == 0) StartLogs(command, found ? found->meta : CheckpointMeta{});
  folder_->OpenQuarantine(found.has_value(), *data_->train);
  loader_runtime_ = {.known_bad = &folder_->quarantine().known(),
                     .given_up = &folder_->quarantine().given_up(),
                     .memory = BatchMemory(Target().device),
                     .held_batches = HeldBatches(*config_)};
  RunLog* const log = folder_->log();
  for (const auto& evaluator : evaluators_) {
    const bool is_there = log != nullptr && log->Has(evaluator->event(), step_);
    evaluator->done_at = GatherNumbers(comm_, is_there ? step_ : -1).front();
  }
}

/// The file that train.init names; empty: none. A collective.
std::string Trainer::FindInit() {
  // Rank 0 finds the checkpoint and checks every byte; the others rely on it.
  ModelSource from;
  Together(comm_, [&] {
    if (comm_.rank() != 0 || config_->train.init.empty()) return;
    from = ResolveInit(config_);
    const std::filesystem::path folder = std::filesystem::path(from.file).parent_path();
    if (from.run.empty() && std::filesystem::exists(folder / "checkpoint.json")) {
      CheckCheckpoint(folder);  // its estimators may be loaded too
    }
  });
  for (const std::string& reason : from.passed_over) {
    console_.Say(fmt::format("skipped a damaged checkpoint: {}", reason));
  }
  return GatherTexts(comm_, from.file).front();
}

/// Loads the weights that the run starts from, or those that its tuners belong to.
StartTemperature Trainer::LoadBase(const std::string& init) {
  const StartWeights start(config_, shape_.model, shape_.vocabulary_hash, init);
  for (const std::string& note : start.notes()) console_.Say(note);
  if (start.file()) {
    learner_->model.Load(start.file()->Read(), start.file()->path());
    if (model().adapted()) base_hash_ = BaseHash(model());
    if (init.empty() || model().adapted()) {
      console_.Say(fmt::format("weights from {}", start.file()->path()));
    }
  }
  return start.temperature();
}

void Trainer::StartFromWeights() {
  const std::string init = FindInit();
  SetTemperature(LoadBase(init));
  if (!init.empty()) TakeEstimatorsOf(init);
}

/// Values of the weights are already loaded.
void Trainer::SetLogitScale(const StartTemperature& start) {
  const at::NoGradGuard no_grad;
  if (start.tau_of_weights) {
    ClampLogitScale(model().logit_scale());
  } else {
    model().logit_scale().fill_(-std::log(start.tau));
  }
  if (start.bias && !start.bias_of_weights) model().logit_bias().fill_(*start.bias);
}

void Trainer::SetTemperature(const StartTemperature& start) {
  SetLogitScale(start);
  start_temperature_ = start;
  // Initial per-sample temperatures.
  for (std::size_t c = 0; c < learner_->table.columns().size(); ++c) {
    if (!learner_->table.columns()[c].starts_with("tau_")) continue;
    learner_->table.values().select(1, static_cast<std::int64_t>(c)).fill_(start.tau);
  }
}

/// The config with the values actually used, for RUN/config.toml.
TrainConfig Trainer::UsedConfig() const {
  TrainConfig used = *config_;
  if (!start_temperature_) return *resumed_;
  const auto rounded = [](double value) { return std::stod(fmt::format("{:.6g}", value)); };
  if (start_temperature_->tau_of_weights) used.temperature.init = rounded(start_temperature_->tau);
  if (start_temperature_->bias_of_weights)
    used.temperature.logit_bias = rounded(*start_temperature_->bias);
  return used;
}

void Trainer::BroadcastFromRank0(const NamedTensors& tensors) {
  if (comm_.world_size() == 1) return;
  const at::NoGradGuard no_grad;
  for (const auto& [name, tensor] : tensors) {
    at::Tensor values = tensor.detach();
    comm_.Broadcast(values, 0);
  }
  comm_.CallsSoFar()->Wait();  // the host reads some of them
}

void Trainer::StartLogs(const std::string& command, const CheckpointMeta& resumed) {
  WriteResolvedConfig(UsedConfig());
  WriteRunData(config_->run, data_->train->hash(), data_->files);
  LogStart(config_->run, {{"time", std::time(nullptr)},
                          {"step", step_},
                          {"host", HostName()},
                          {"command", command},
                          {"threads", at::get_num_threads()},
                          {"world_size", comm_.world_size()},
                          {"versions", Versions()}});
  folder_->OpenLog(resumed, step_);
  console_log_.Open(config_->run + "/console.log");
}

}  // namespace fastclip
