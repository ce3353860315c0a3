#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "comm/exchange.h"
#include "pipeline/open_source.h"
#include "tokenizer/tokenizer_spec.h"
#include "trainer/file_io.h"
#include "trainer/model/presets.h"
#include "trainer/resolved_config.h"
#include "trainer/run_setup.h"
#include "trainer/safetensors.h"
#include "trainer/trainer.h"
#include "trainer/versions.h"

// Opening a run: everything that is checked and read before the first step.

namespace fastclip {
namespace {

/// Opens a list and says what is wrong with it: truncated, damaged and vanished shards train on,
/// but not in silence.
std::unique_ptr<RecordSource> OpenData(const TrainConfig& config, const std::string& list,
                                       const std::string& manifest, Console& console) {
  OpenedSource opened = OpenSourceWithInfo(list, SourceOf(config, manifest));
  for (const std::string& line : WarningLines(opened.parts)) console.Say("warning: " + line);
  return std::move(opened.source);
}

LoaderOptions LoaderOf(const TrainConfig& config, const ModelConfig& model) {
  LoaderOptions options = config.pipeline;
  options.image_size = static_cast<int>(model.vision.image_size);
  options.context_length = static_cast<int>(model.text.context_length);
  return options;
}

double Millions(const NamedTensors& tensors) {
  return 1e-6 *
         std::accumulate(tensors.begin(), tensors.end(), 0.0,
                         [](double sum, const auto& named) { return sum + named.second.numel(); });
}

std::vector<std::int64_t> RowsOf(std::vector<std::int64_t> lanes_per_rank, const OrderPlan& plan) {
  for (std::int64_t& rows : lanes_per_rank) rows *= plan.rows_per_lane();
  return lanes_per_rank;
}

void SayPassedOver(const std::vector<std::string>& reasons, Console& console) {
  for (const std::string& reason : reasons) {
    console.Say(fmt::format("passed over a damaged checkpoint: {}", reason));
  }
}

}  // namespace

Trainer::Trainer(const LoadedConfig& config, const std::string& command, Communicator& comm,
                 at::Device device)
    : config_(config),
      comm_(comm),
      opening_(std::in_place, comm, config->comm.patience),
      console_(comm.rank() != 0),
      tokenizer_(OpenTokenizer(config->data.tokenizer)),
      vocabulary_hash_(DigestFile(VocabularyFile(ParseTokenizerSpec(config->data.tokenizer))).xxh3),
      model_config_(CheckedModel(config, *tokenizer_)),
      loader_options_(LoaderOf(*config, model_config_)),
      lock_(comm.rank() == 0 ? std::optional<RunLock>(config->run) : std::nullopt),
      source_(Rank0First(
          comm,
          [&] { return OpenData(*config, config->data.train, config->data.manifest, console_); })),
      val_source_(
          config->data.val.empty()
              ? nullptr
              : Rank0First(comm,
                           [&] { return OpenData(*config, config->data.val, "", console_); })),
      zeroshot_(Rank0First(comm, [&] { return ZeroShotSet::Open(config, SourceOf(*config, "")); })),
      plan_(PlanOf(config, *source_)),
      lanes_per_rank_(LanesPerRank(config, plan_, comm.world_size())),
      lanes_(plan_.LanesOf(comm.rank(), lanes_per_rank_)),
      model_(model_config_, config->train.seed, config->temperature.init,
             PrecisionOf(config->train.precision).parameters, config->model.lock, device),
      objective_(MakeObjective(ObjectiveOf(*config))),
      table_(plan_, lanes_, objective_->state_columns(), objective_->initial_state(),
             PrecisionOf(config->train.precision).parameters),
      optimizer_(MakeOptimizer(model_.trainable(), config->optimizer)),
      train_step_(model_, *objective_, table_, *optimizer_, comm_,
                  {config->train.clip_norm, PrecisionOf(config->train.precision)},
                  RowsOf(lanes_per_rank_, plan_)),
      total_steps_(plan_.steps(config->train.epochs)) {
  if (config_->train.threads > 0) at::set_num_threads(config_->train.threads);
  model_.set_grad_checkpointing(config_->train.grad_checkpointing);
  if (config_->model.sync_batch_norm) model_.SyncBatchNormOver(comm_);
  std::vector<std::pair<std::string, std::string>> data = {
      {"the hash of data.train", fmt::format("{:016x}", source_->hash())},
      {"the hash of the vocabulary", fmt::format("{:016x}", vocabulary_hash_)}};
  if (val_source_)
    data.emplace_back("the hash of data.val", fmt::format("{:016x}", val_source_->hash()));
  RefuseDifferences(data, comm_);

  OpenRun(command);
  console_.Say(fmt::format(
      "model {}: {:.1f} M parameters{}; {} records in {} lanes; {} epochs of {} steps, batch {}; "
      "{} threads train, {} decode",
      model_config_.name, Millions(model_.parameters()),
      model_.trainable().size() == model_.parameters().size()
          ? ""
          : fmt::format(", {:.1f} M of them not locked", Millions(model_.trainable())),
      source_->size(), plan_.options().lanes, config_->train.epochs, plan_.steps_per_epoch(),
      config_->train.batch_size, at::get_num_threads(), config_->pipeline.threads));
  if (comm_.world_size() > 1) SayRanks();
  opening_.reset();
}

void Trainer::SayRanks() {
  const std::vector<std::int64_t> rows = RowsOf(lanes_per_rank_, plan_);
  const auto [least, most] = std::ranges::minmax(rows);
  const double idle = IdleShare(lanes_per_rank_);
  std::string uneven;
  if (idle > 0) {
    uneven =
        fmt::format("; a step waits for the largest: {:.0f}% of the ranks' time idles", 100 * idle);
    const std::int64_t even = EvenDataLanes(plan_, comm_.world_size());
    if (config_->data.lanes_per_rank.empty() && even != 0) {
      uneven += fmt::format(", none with data.lanes = {} in a new run", even);
    }
  }
  console_.Say(fmt::format(
      "{} ranks, {} rows of a batch each{}", comm_.world_size(),
      least == most ? fmt::format("{}", most) : fmt::format("{} to {}", least, most), uneven));
}

/// Rank 0 looks and checks every byte; the others take its word.
std::optional<FoundCheckpoint> Trainer::FindCheckpoint() {
  std::optional<FoundCheckpoint> found;
  Together(comm_, [&] {
    if (comm_.rank() == 0) found = FindNewestCheckpoint(config_->run);
  });
  const std::string path = GatherTexts(comm_, found ? found->path : "").front();
  Together(comm_, [&] {
    if (comm_.rank() == 0 || path.empty()) return;
    found.emplace();
    found->path = path;
    found->meta = ReadCheckpointMeta(path);
  });
  return found;
}

void Trainer::OpenRun(const std::string& command) {
  const auto found = FindCheckpoint();
  if (found && !config_->resume) {
    throw ConfigError(
        fmt::format("{} already holds a run (step {}); resume=true goes on with it, another "
                    "run=FOLDER starts anew",
                    config_->run, found->meta.step));
  }
  std::error_code absent;
  const std::string metrics = config_->run + "/metrics.jsonl";
  if (comm_.rank() == 0 && !found && !config_->resume &&
      std::filesystem::file_size(metrics, absent) > 0 && !absent) {
    throw ConfigError(fmt::format(
        "{} is a run's, but no checkpoint of it is there: put them back under {}/checkpoints and "
        "add resume=true; without them resume=true starts anew over it, run=FOLDER elsewhere",
        metrics, config_->run));
  }
  if (found) {
    Resume(*found);
  } else {
    if (config_->resume)
      console_.Say(fmt::format("no checkpoint in {} yet: starting anew", config_->run));
    if (!config_->model.pretrained.empty()) {
      model_.Load(ReadSafetensors(config_->model.pretrained).tensors, config_->model.pretrained);
    }
    if (!config_->train.init.empty()) StartFrom(config_->train.init);
  }
  // Weights made or read by unlike processors might differ in the last bit.
  BroadcastFromRank0(model_.parameters());
  BroadcastFromRank0(model_.buffers());
  const bool wrote = comm_.rank() == 0;
  if (wrote) StartLogs(command, found ? found->meta.metrics_bytes : 0);
  retrieval_at_ = GatherNumbers(comm_, wrote && log_->Has("retrieval", step_) ? step_ : -1).front();
  zeroshot_at_ = GatherNumbers(comm_, wrote && log_->Has("zeroshot", step_) ? step_ : -1).front();
}

void Trainer::BroadcastFromRank0(const NamedTensors& tensors) {
  if (comm_.world_size() == 1) return;
  const at::NoGradGuard no_grad;
  for (const auto& [name, tensor] : tensors) {
    at::Tensor values = tensor.detach();
    comm_.Broadcast(values, 0);
  }
}

void Trainer::StartLogs(const std::string& command, std::int64_t keep_bytes) {
  WriteResolvedConfig(*config_);
  LogStart(config_->run, {{"time", std::time(nullptr)},
                          {"step", step_},
                          {"host", HostName()},
                          {"command", command},
                          {"threads", at::get_num_threads()},
                          {"world_size", comm_.world_size()},
                          {"versions", Versions()}});
  log_.emplace(config_->run, keep_bytes, step_);
}

void Trainer::Resume(const FoundCheckpoint& found) {
  SayPassedOver(found.passed_over, console_);
  RefuseOtherData(found);
  RefuseOtherModel(found);
  const CheckpointMeta& meta = found.meta;

  model_.Load(LoadModel(found.path), found.path);
  optimizer_->LoadState(LoadOptimizer(found.path), found.path);
  if (!objective_->state_columns().empty()) {
    table_.values().copy_(LoadState(found.path, lanes_).values);
  }
  step_ = meta.step;
  if (comm_.rank() == 0) skips_ = meta.skips;
  refused_ = meta.refused_steps;
  refused_in_a_row_ = meta.refused_in_a_row;
  overflowed_ = meta.overflowed_steps;
  if (meta.scaler) train_step_.scaler() = *meta.scaler;
  last_checkpoint_ = found.path;
  saved_ = true;
  console_.Say(fmt::format("resumed {} at step {} of {}", found.path, step_, total_steps_));
  if (meta.threads != at::get_num_threads() || meta.world_size != comm_.world_size()) {
    console_.Say(fmt::format(
        "note: it ran with {} threads on {} ranks, now {} on {}: equal to rounding, not to the bit",
        meta.threads, meta.world_size, at::get_num_threads(), comm_.world_size()));
  }
}

void Trainer::RefuseOtherData(const FoundCheckpoint& found) const {
  const CheckpointMeta& meta = found.meta;
  const OrderOptions& now = plan_.options();
  const auto refuse = [&](const char* what, const auto& before, const auto& asked) {
    throw ConfigError(
        fmt::format("{}: {} was {} in this run and is {} now: the order of the samples would "
                    "change. Set it back, "
                    "or start a new run from these weights with train.init = \"{}\"",
                    found.path, what, before, asked, found.path));
  };
  if (meta.data_hash != source_->hash()) refuse("the data's hash", meta.data_hash, source_->hash());
  if (meta.order.size != now.size) refuse("the number of records", meta.order.size, now.size);
  if (meta.order.batch_size != now.batch_size)
    refuse("train.batch_size", meta.order.batch_size, now.batch_size);
  if (meta.order.lanes != now.lanes) refuse("data.lanes", meta.order.lanes, now.lanes);
  if (meta.order.chunk != now.chunk) refuse("data.chunk", meta.order.chunk, now.chunk);
  if (meta.order.window != now.window) refuse("data.window", meta.order.window, now.window);
  if (meta.order.seed != now.seed) refuse("train.seed", meta.order.seed, now.seed);
  if (meta.objective != config_->objective.name)
    refuse("objective.name", meta.objective, config_->objective.name);
  if (meta.mode != config_->objective.mode)
    refuse("objective.mode", meta.mode, config_->objective.mode);
}

/// Checkpoints that do not tell model and tokenizer are taken at the user's word.
void Trainer::RefuseOtherModel(const FoundCheckpoint& found) const {
  const CheckpointMeta& meta = found.meta;
  if (!meta.model_config.empty()) {
    const auto before = nlohmann::json::parse(meta.model_config).flatten();
    const auto now = nlohmann::json::parse(OpenClipJson(model_config_)).flatten();
    for (const auto& [key, value] : now.items()) {
      const auto was = before.value(key, nlohmann::json());
      if (was == value) continue;
      throw ConfigError(
          fmt::format("{}: {} of the model was {} in this run and is {} in model {} now: its "
                      "weights are another model's. Set model.name back, or start a new run in "
                      "another run=FOLDER",
                      found.path, key.substr(1), was.dump(), value.dump(), config_->model.name));
    }
  }
  if (!meta.tokenizer.empty() && (ParseTokenizerSpec(meta.tokenizer).kind !=
                                      ParseTokenizerSpec(config_->data.tokenizer).kind ||
                                  meta.vocabulary_hash != vocabulary_hash_)) {
    throw ConfigError(fmt::format(
        "{}: data.tokenizer was {} (hash {:016x}) in this run and is {} (hash {:016x}) now: the "
        "same ids would be other words. Set it back, or start a new run in another run=FOLDER",
        found.path, meta.tokenizer, meta.vocabulary_hash, config_->data.tokenizer,
        vocabulary_hash_));
  }
}

void Trainer::StartFrom(const std::string& init) {
  const ModelSource from = ResolveModel(init);
  SayPassedOver(from.passed_over, console_);
  model_.Load(ReadSafetensors(from.file).tensors, from.file);
  const std::string folder = std::filesystem::path(from.file).parent_path();
  if (objective_->state_columns().empty() ||
      !std::filesystem::exists(std::filesystem::path(folder) / "checkpoint.json")) {
    console_.Say(fmt::format("weights from {}", from.file));
    return;
  }
  const CheckpointMeta meta = CheckCheckpoint(folder);
  if (meta.data_hash != source_->hash()) {
    console_.Say(fmt::format("weights from {}; its estimators belong to other data and are left",
                             from.file));
    return;
  }
  const OrderPlan before(meta.order);
  const StateRows rows = LoadState(folder, {0, meta.order.lanes});
  if (rows.columns != table_.columns()) {
    console_.Say(fmt::format(
        "weights from {}; its estimators belong to another objective and are left", from.file));
    return;
  }
  SampleTable old(before, {0, meta.order.lanes}, rows.columns, objective_->initial_state(),
                  PrecisionOf(config_->train.precision).parameters);
  old.values().copy_(rows.values);
  std::vector<std::int64_t> mine;
  for (std::int64_t index = 0; index < source_->size(); ++index) {
    const std::int64_t lane = plan_.PlaceOf(SampleIndex{index}).lane;
    if (lane >= lanes_.first && lane < lanes_.last) mine.push_back(index);
  }
  table_.Write(mine, old.Read(mine));
  console_.Say(fmt::format("weights and estimators from {}", folder));
}

}  // namespace fastclip
