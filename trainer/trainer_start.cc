#include "trainer/trainer.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <ctime>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "trainer/file_io.h"
#include "trainer/model/presets.h"
#include "trainer/safetensors.h"
#include "trainer/versions.h"

// Opening a run: everything that is checked and read before the first step.

namespace fastclip {
namespace {

OrderOptions OrderOf(const TrainConfig& config, const RecordSource& source) {
  return {.size = source.size(),
          .batch_size = config.train.batch_size,
          .lanes = config.data.lanes,
          .chunk = config.data.chunk,
          .window = config.data.window,
          .seed = config.train.seed};
}

SourceOptions SourceOf(const TrainConfig& config, const std::string& manifest) {
  return {.manifest = manifest,
          .manifest_fallback_dir = config.run,
          .max_record_bytes = config.data.max_record_bytes};
}

at::ScalarType Precision(const TrainConfig& config) {
  return config.train.precision == "fp64" ? at::kDouble : at::kFloat;
}

/// The run folder exists from here on, so that manifests may be written into it.
std::unique_ptr<RecordSource> OpenTrainingData(const TrainConfig& config) {
  std::error_code error;
  std::filesystem::create_directories(config.run, error);
  if (error) {
    throw std::runtime_error(fmt::format("{}: the run folder cannot be made: {}; run=FOLDER chooses another",
                                         config.run, error.message()));
  }
  return OpenSource(config.data.train, SourceOf(config, config.data.manifest));
}

std::unique_ptr<RecordSource> OpenValidationData(const TrainConfig& config) {
  if (config.data.val.empty()) return nullptr;
  return OpenSource(config.data.val, SourceOf(config, ""));
}

ModelConfig CheckedModel(const LoadedConfig& config, const Tokenizer& tokenizer) {
  ModelConfig model = LoadModelConfig(config->model.name);
  if (tokenizer.vocab_size() > model.text.vocab_size) {
    throw config.table().Error(
        "data.tokenizer",
        fmt::format("'{}' has {} ids, but model {} embeds {}; choose a model file with "
                    "text.vocab_size = {} or another tokenizer",
                    config->data.tokenizer, tokenizer.vocab_size(), config->model.name,
                    model.text.vocab_size, tokenizer.vocab_size()));
  }
  return model;
}

LoaderOptions LoaderOf(const TrainConfig& config, const ModelConfig& model) {
  LoaderOptions options = config.pipeline;
  options.image_size = static_cast<int>(model.vision.image_size);
  options.context_length = static_cast<int>(model.text.context_length);
  return options;
}

OrderPlan PlanOf(const LoadedConfig& config, const RecordSource& source) {
  try {
    return OrderPlan(OrderOf(*config, source));
  } catch (const std::invalid_argument& error) {
    throw ConfigError(fmt::format("{}: the data of {} ({} records) do not fit: {}",
                                  config.table().Origin("train.batch_size"), config->data.train,
                                  source.size(), error.what()));
  }
}

}  // namespace

Trainer::Trainer(const LoadedConfig& config, const std::string& command, Communicator& comm)
    : config_(config),
      comm_(comm),
      tokenizer_(OpenTokenizer(config->data.tokenizer)),
      model_config_(CheckedModel(config, *tokenizer_)),
      loader_options_(LoaderOf(*config, model_config_)),
      source_(OpenTrainingData(*config)),
      val_source_(OpenValidationData(*config)),
      zeroshot_(ZeroShotSet::Open(config, SourceOf(*config, ""))),
      plan_(PlanOf(config, *source_)),
      lanes_(plan_.LanesOf(comm.rank(), plan_.EvenLanes(comm.world_size()))),
      model_(model_config_, config->train.seed, config->temperature.init, Precision(*config)),
      objective_(MakeObjective(config->objective)),
      table_(plan_, lanes_, objective_->state_columns(), objective_->initial_state(),
             Precision(*config)),
      optimizer_(MakeOptimizer(model_.parameters(), config->optimizer)),
      train_step_(model_, *objective_, table_, *optimizer_, comm, {config->train.clip_norm},
                  [&] {
                    auto rows = plan_.EvenLanes(comm.world_size());
                    for (auto& count : rows) count *= plan_.rows_per_lane();
                    return rows;
                  }()),
      total_steps_(plan_.steps(config->train.epochs)) {
  if (config_->train.threads > 0) at::set_num_threads(config_->train.threads);

  const auto found = FindNewestCheckpoint(config_->run);
  if (found && !config_->resume) {
    throw ConfigError(fmt::format(
        "{} already holds a run (step {}); resume=true goes on with it, another run=FOLDER starts anew",
        config_->run, found->meta.step));
  }
  if (found) {
    Resume(*found);
  } else {
    if (config_->resume) console_.Say(fmt::format("no checkpoint in {} yet: starting anew", config_->run));
    if (!config_->model.pretrained.empty()) {
      model_.Load(ReadSafetensors(config_->model.pretrained).tensors, config_->model.pretrained);
    }
    if (!config_->train.init.empty()) StartFrom(config_->train.init);
  }
  ReplaceFile(config_->run + "/config.toml", config_.table().Write());
  LogStart(config_->run, {{"time", std::time(nullptr)},
                          {"step", step_},
                          {"host", HostName()},
                          {"command", command},
                          {"threads", at::get_num_threads()},
                          {"versions", Versions()}});
  log_.emplace(config_->run, found ? found->meta.metrics_bytes : 0, step_);

  console_.Say(fmt::format(
      "model {}: {:.1f} M parameters; {} records in {} lanes; {} epochs of {} steps, batch {}; "
      "{} threads train, {} decode",
      model_config_.name,
      1e-6 * std::accumulate(model_.parameters().begin(), model_.parameters().end(), 0.0,
                             [](double sum, const auto& named) { return sum + named.second.numel(); }),
      source_->size(), plan_.options().lanes, config_->train.epochs, plan_.steps_per_epoch(),
      config_->train.batch_size, at::get_num_threads(), config_->pipeline.threads));
}

void Trainer::Resume(const FoundCheckpoint& found) {
  for (const std::string& reason : found.passed_over) {
    console_.Say(fmt::format("passed over a damaged checkpoint: {}", reason));
  }
  const CheckpointMeta& meta = found.meta;
  const OrderOptions& now = plan_.options();
  const auto refuse = [&](const char* what, const auto& before, const auto& asked) {
    throw ConfigError(fmt::format(
        "{}: {} was {} in this run and is {} now: the order of the samples would change. Set it back, "
        "or start a new run from these weights with train.init = \"{}\"",
        found.path, what, before, asked, found.path));
  };
  if (meta.data_hash != source_->hash()) refuse("the data's hash", meta.data_hash, source_->hash());
  if (meta.order.size != now.size) refuse("the number of records", meta.order.size, now.size);
  if (meta.order.batch_size != now.batch_size) refuse("train.batch_size", meta.order.batch_size, now.batch_size);
  if (meta.order.lanes != now.lanes) refuse("data.lanes", meta.order.lanes, now.lanes);
  if (meta.order.chunk != now.chunk) refuse("data.chunk", meta.order.chunk, now.chunk);
  if (meta.order.window != now.window) refuse("data.window", meta.order.window, now.window);
  if (meta.order.seed != now.seed) refuse("train.seed", meta.order.seed, now.seed);
  if (meta.objective != config_->objective.name) refuse("objective.name", meta.objective, config_->objective.name);
  if (meta.mode != config_->objective.mode) refuse("objective.mode", meta.mode, config_->objective.mode);

  model_.Load(LoadModel(found.path), found.path);
  optimizer_->LoadState(LoadOptimizer(found.path), found.path);
  if (!objective_->state_columns().empty()) {
    table_.values().copy_(LoadState(found.path, lanes_).values);
  }
  step_ = meta.step;
  skips_ = meta.skips;
  refused_ = meta.refused_steps;
  refused_in_a_row_ = meta.refused_in_a_row;
  last_checkpoint_ = found.path;
  console_.Say(fmt::format("resumed {} at step {} of {}", found.path, step_, total_steps_));
  if (meta.threads != at::get_num_threads()) {
    console_.Say(fmt::format("note: it ran with {} threads, now {}: equal to rounding, not to the bit",
                             meta.threads, at::get_num_threads()));
  }
}

void Trainer::StartFrom(const std::string& init) {
  const ModelSource from = ResolveModel(init);
  model_.Load(ReadSafetensors(from.file).tensors, from.file);
  const std::string folder = std::filesystem::path(from.file).parent_path();
  if (objective_->state_columns().empty() ||
      !std::filesystem::exists(std::filesystem::path(folder) / "checkpoint.json")) {
    console_.Say(fmt::format("weights from {}", from.file));
    return;
  }
  const CheckpointMeta meta = CheckCheckpoint(folder);
  if (meta.data_hash != source_->hash()) {
    console_.Say(fmt::format("weights from {}; its estimators belong to other data and are left", from.file));
    return;
  }
  const OrderPlan before(meta.order);
  const StateRows rows = LoadState(folder, {0, meta.order.lanes});
  if (rows.columns != table_.columns()) {
    console_.Say(fmt::format("weights from {}; its estimators belong to another objective and are left", from.file));
    return;
  }
  SampleTable old(before, {0, meta.order.lanes}, rows.columns, objective_->initial_state(), Precision(*config_));
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
