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
#include <vector>

#include "comm/exchange.h"
#include "comm/launch.h"
#include "pipeline/base/printable.h"
#include "pipeline/sources/open_source.h"
#include "trainer/base/file_io.h"
#include "trainer/base/versions.h"
#include "trainer/config/idle_keys.h"
#include "trainer/config/resolved_config.h"
#include "trainer/model/presets.h"
#include "trainer/objective/robustness.h"
#include "trainer/run/run_data.h"
#include "trainer/run/run_setup.h"
#include "trainer/run/start_check.h"
#include "trainer/run/trainer.h"
#include "trainer/state/weights_origin.h"
#include "trainer/step/pinned_memory.h"

// Opening a run: everything that is checked and read before the first step.

namespace fastclip {
namespace {

/// Rank 0 has compared each file with its manifest just before the others open it: one look at a
/// file system that may serve all of them.
SourceOptions OfRank(SourceOptions options, const Communicator& comm) {
  options.trust_manifest = comm.rank() != 0;
  return options;
}

/// Opens the list of a config's key, on rank 0 first, and says what is wrong with it: truncated,
/// damaged and vanished shards train on, but not in silence. Rank 0 looks at some records for all.
std::unique_ptr<RecordSource> OpenData(const char* key, const std::string& list,
                                       const SourceOptions& options, Communicator& comm,
                                       Console& console, std::vector<ListedFile>* files = nullptr) {
  return Rank0First(comm, [&] {
    OpenedSource opened = OpenSourceWithInfo(list, OfRank(options, comm));
    for (const std::string& line : WarningLines(opened.parts)) console.Say("warning: " + line);
    if (comm.rank() == 0) {
      for (const auto& line : LookAtData(key, list, *opened.source, options)) console.Say(line);
    }
    if (files != nullptr) *files = std::move(opened.files);
    return std::move(opened.source);
  });
}

ZeroShotSet OpenZeroShot(const LoadedConfig& config, Communicator& comm, Console& console) {
  return Rank0First(comm, [&] {
    ZeroShotSet set = ZeroShotSet::Open(config, OfRank(OtherSourceOf(*config), comm));
    for (const std::string& line : set.Remarks()) console.Say(line);
    return set;
  });
}

/// Rank 0 holds the lock. Refused before data is looked at, which may take long.
std::optional<RunLock> LockRun(const LoadedConfig& config, const ModelConfig& model,
                               std::uint64_t vocabulary_hash, int rank) {
  if (rank != 0) return std::nullopt;
  std::optional<RunLock> lock(std::in_place, config->run);
  RefuseTakenFolder(*config);
  if (config->resume) return lock;
  // A run or checkpoint is checked to the byte where it is read.
  const std::string& init = config->train.init;
  const bool is_file = std::filesystem::is_regular_file(init);
  if (is_file || !config->model.pretrained.empty()) {
    CheckFit(StartWeights(config, model, vocabulary_hash, is_file ? init : ""), model);
  }
  return lock;
}

double Millions(const NamedTensors& tensors) {
  return 1e-6 *
         std::accumulate(tensors.begin(), tensors.end(), 0.0,
                         [](double sum, const auto& named) { return sum + named.second.numel(); });
}

}  // namespace

Trainer::Trainer(const LoadedConfig& config, const std::string& command, Communicator& comm,
                 at::Device device)
    : config_(config),
      config_values_(ValuesOf(ResolvedConfig(*config))),
      comm_(comm),
      opening_(std::in_place, comm, config->comm.patience),
      console_(comm.rank() != 0),
      tokenizer_(OpenTokenizer(config->data.tokenizer)),
      vocabulary_hash_(VocabularyHash(config->data.tokenizer)),
      model_config_(CheckedModel(config, *tokenizer_)),
      loader_options_(LoaderOf(*config, model_config_)),
      lock_(LockRun(config, model_config_, vocabulary_hash_, comm.rank())),
      source_(OpenData("data.train", config->data.train, TrainSourceOf(*config), comm, console_,
                       &data_files_)),
      val_source_(config->data.val.empty() ? nullptr
                                           : OpenData("data.val", config->data.val,
                                                      OtherSourceOf(*config), comm, console_)),
      zeroshot_(OpenZeroShot(config, comm, console_)),
      plan_(PlanOf(config, *source_)),
      lanes_per_rank_(LanesPerRank(config, plan_, comm.world_size())),
      lanes_(plan_.LanesOf(comm.rank(), lanes_per_rank_)),
      model_(model_config_, config->train.seed, config->temperature.init,
             PrecisionOf(config->train.precision).parameters, config->model.lock, device),
      objective_(MakeObjective(ObjectiveOf(*config))),
      table_(plan_, lanes_, objective_->state_columns(), objective_->initial_state(),
             PrecisionOf(config->train.precision).parameters),
      optimizer_(MakeOptimizer(model_.described(), config->optimizer)),
      train_step_(model_, *objective_, table_, *optimizer_, comm_,
                  {config->train.clip_norm, PrecisionOf(config->train.precision)},
                  RowsPerRank(lanes_per_rank_, plan_)),
      total_steps_(plan_.steps(config->train.epochs)) {
  if (config_->train.threads > 0) at::set_num_threads(config_->train.threads);
  CheckMemory(config_, loader_options_, (lanes_.last - lanes_.first) * plan_.rows_per_lane());
  if (val_source_ || zeroshot_.source)
    CheckMemory(config_, loader_options_, config_->eval.batch_size);
  model_.set_grad_checkpointing(config_->train.grad_checkpointing);
  if (config_->model.sync_batch_norm) model_.SyncBatchNormOver(comm_);
  std::vector<std::pair<std::string, std::string>> data = {
      {"the hash of data.train", fmt::format("{:016x}", source_->hash())},
      {"the hash of the vocabulary", fmt::format("{:016x}", vocabulary_hash_)}};
  if (val_source_)
    data.emplace_back("the hash of data.val", fmt::format("{:016x}", val_source_->hash()));
  RefuseDifferences(data, comm_);

  OpenRun(command);
  SayWhatWillNotFit();
  console_.Say(fmt::format(
      "model {}: {:.1f} M parameters{}; {} in {}; {} of {}, batch {}; {} for training, {} for "
      "decoding",
      model_config_.name, Millions(model_.parameters()),
      model_.trainable().size() == model_.parameters().size()
          ? ""
          : fmt::format(", {:.1f} M of them not locked", Millions(model_.trainable())),
      Counted(source_->size(), "record"), Counted(plan_.options().lanes, "lane"),
      Counted(config_->train.epochs, "epoch"), Counted(plan_.steps_per_epoch(), "step"),
      config_->train.batch_size, Counted(at::get_num_threads(), "thread"),
      config_->pipeline.threads));
  if (const auto equal = FindEqualNames(zeroshot_.prompts.classes); !equal.empty()) {
    console_.Say(fmt::format("eval.zeroshot_classes: classes with equal names are kept apart: {}",
                             DescribeEqualNames(equal)));
  }
  for (const std::string& line : KeysWithoutEffect(*config_)) console_.Say("note: " + line);
  if (comm_.world_size() > 1) SayRanks();
  const std::string rho =
      RhoWarning(config_->objective, config_->gamma, config_->train.batch_size, source_->size());
  if (!rho.empty()) console_.Say("warning: " + rho);
  opening_.reset();
}

void Trainer::SayWhatWillNotFit() {
  const RunLength length{total_steps_, plan_.mean_steps_per_epoch()};
  for (const std::string& line : ScheduleWarnings(*config_, length)) {
    console_.Say("warning: " + line);
  }
  std::string space;
  Together(comm_, [&] {
    if (comm_.rank() != 0) return;
    const double bytes = CheckpointBytes(model_, *optimizer_, *objective_, plan_,
                                         PrecisionOf(config_->train.precision));
    space = CheckSpace(SpaceOf(*config_, bytes), config_->run);
  });
  if (!space.empty()) console_.Say("warning: " + space);
}

void Trainer::SayRanks() {
  std::string line =
      fmt::format("{} ranks, {}", comm_.world_size(), DescribeRows(lanes_per_rank_, plan_));
  const std::int64_t even = EvenDataLanes(plan_, comm_.world_size());
  if (IdleShare(lanes_per_rank_) > 0 && config_->data.lanes_per_rank.empty() && even != 0) {
    line += fmt::format(", none with data.lanes = {} in a new run", even);
  }
  console_.Say(line);
}

void Trainer::OpenRun(const std::string& command) {
  RefuseAFolderOfItsOwn();
  const auto found = config_->resume ? FindCheckpoint() : std::nullopt;
  if (found) {
    Resume(*found);
  } else {
    if (config_->resume)
      console_.Say(fmt::format("no checkpoint in {} yet: starting anew", config_->run));
    StartFromWeights();
    if (!config_->train.init_estimators.empty()) TakeEstimators(config_->train.init_estimators);
  }
  config_values_ = ValuesOf(ResolvedConfig(UsedConfig()));
  // Weights made or read by unlike processors might differ in the last bit.
  BroadcastFromRank0(model_.parameters());
  BroadcastFromRank0(model_.buffers());
  const bool wrote = comm_.rank() == 0;
  if (wrote) StartLogs(command, found ? found->meta : CheckpointMeta{});
  quarantine_.emplace(config_->run, found.has_value(), *source_, comm_);
  loader_runtime_ = {.known_bad = &quarantine_->known(),
                     .memory = BatchMemory(Target().device.is_cuda())};
  retrieval_at_ = GatherNumbers(comm_, wrote && log_->Has("retrieval", step_) ? step_ : -1).front();
  zeroshot_at_ = GatherNumbers(comm_, wrote && log_->Has("zeroshot", step_) ? step_ : -1).front();
}

void Trainer::StartFromWeights() {
  // Rank 0 looks for a checkpoint and checks every byte of it; the others take its word.
  ModelSource from;
  Together(comm_, [&] {
    if (comm_.rank() != 0 || config_->train.init.empty()) return;
    from = ResolveModel(config_->train.init);
    const std::filesystem::path folder = std::filesystem::path(from.file).parent_path();
    if (from.run.empty() && std::filesystem::exists(folder / "checkpoint.json")) {
      CheckCheckpoint(folder);  // its estimators may be taken too
    }
  });
  for (const std::string& reason : from.passed_over) {
    console_.Say(fmt::format("skipped a damaged checkpoint: {}", reason));
  }
  const std::string init = GatherTexts(comm_, from.file).front();
  const StartWeights start(config_, model_config_, vocabulary_hash_, init);
  for (const std::string& note : start.notes()) console_.Say(note);
  if (start.file()) model_.Load(start.file()->Read(), start.file()->path());
  SetTemperature(start.temperature());
  if (!start.file()) return;
  if (config_->train.init.empty()) {
    console_.Say(fmt::format("weights from {}", start.file()->path()));
  } else {
    TakeEstimatorsOf(start.file()->path());
  }
}

/// The weights' own are there already, as the file has them.
void Trainer::SetTemperature(const StartTemperature& start) {
  const at::NoGradGuard no_grad;
  start_temperature_ = start;
  if (start.tau_of_weights) {
    ClampLogitScale(model_.logit_scale());
  } else {
    model_.logit_scale().fill_(-std::log(start.tau));
  }
  if (start.bias && !start.bias_of_weights) model_.logit_bias().fill_(*start.bias);
  // Of samples never seen, where each has one.
  for (std::size_t c = 0; c < table_.columns().size(); ++c) {
    if (!table_.columns()[c].starts_with("tau_")) continue;
    table_.values().select(1, static_cast<std::int64_t>(c)).fill_(start.tau);
  }
}

/// What the run is computed with, for RUN/config.toml.
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
}

/// Each rank writes its part of a checkpoint into the run folder: they must see the same one. What
/// rank 0 wrote into its lock tells.
void Trainer::RefuseAFolderOfItsOwn() {
  const std::string lock = config_->run + "/lock";
  std::string seen;
  Together(comm_, [&] {
    if (comm_.rank() == 0) seen = ReadWholeFile(lock, 4096);
  });
  const std::string expected = GatherTexts(comm_, seen).front();
  Together(comm_, [&] {
    std::error_code absent;
    if (std::filesystem::exists(lock, absent) && ReadWholeFile(lock, 4096) == expected) return;
    throw std::runtime_error(fmt::format(
        "the run folder {} on {} is not that of rank 0: it must be on a file system that all ranks "
        "share",
        config_->run, HostName()));
  });
}

void Trainer::StartLogs(const std::string& command, const CheckpointMeta& resumed) {
  WriteResolvedConfig(UsedConfig());
  WriteRunData(config_->run, source_->hash(), data_files_);
  LogStart(config_->run, {{"time", std::time(nullptr)},
                          {"step", step_},
                          {"host", HostName()},
                          {"command", command},
                          {"threads", at::get_num_threads()},
                          {"world_size", comm_.world_size()},
                          {"versions", Versions()}});
  log_.emplace(config_->run, resumed.metrics_bytes, step_, resumed.metrics_owed);
}

}  // namespace fastclip
