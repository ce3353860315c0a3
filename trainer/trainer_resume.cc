#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>
#include <vector>

#include "comm/exchange.h"
#include "tokenizer/tokenizer_spec.h"
#include "trainer/estimator_file.h"
#include "trainer/model/presets.h"
#include "trainer/run_setup.h"
#include "trainer/safetensors.h"
#include "trainer/trainer.h"

// Going on with a run from its newest checkpoint, or starting one from another's.

namespace fastclip {
namespace {

void SayPassedOver(const std::vector<std::string>& reasons, Console& console) {
  for (const std::string& reason : reasons) {
    console.Say(fmt::format("passed over a damaged checkpoint: {}", reason));
  }
}

bool HoldsCheckpoint(const std::filesystem::path& folder) {
  return std::filesystem::exists(folder / "checkpoint.json");
}

std::string RowsOf(const OrderOptions& order) {
  if (order.parts.empty()) return "each record once";
  std::vector<std::int64_t> rows;
  for (const MixPart& part : order.parts) rows.push_back(part.rows);
  return fmt::format("[{}]", fmt::join(rows, ", "));
}

}  // namespace

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

void Trainer::Resume(const FoundCheckpoint& found) {
  SayPassedOver(found.passed_over, console_);
  RefuseOtherData(found);
  RefuseOtherModel(found);
  const CheckpointMeta& meta = found.meta;

  model_.Load(LoadModel(found.path), found.path);
  optimizer_->LoadState(LoadOptimizer(found.path), found.path);
  if (!objective_->state_columns().empty()) {
    const auto saved = OpenTable(found.path);
    if (!saved) throw std::runtime_error(fmt::format("{}: holds no state files", found.path));
    saved->Read(lanes_, table_.values());
  }
  step_ = meta.step;
  if (comm_.rank() == 0) skips_ = meta.skips;
  skips_before_ = meta.skips;
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
  if (meta.order.tail != now.tail)
    refuse("data.tail", TailName(meta.order.tail), TailName(now.tail));
  if (meta.order.resampled != now.resampled)
    refuse("data.resampled", meta.order.resampled, now.resampled);
  if (meta.order.parts != now.parts)
    refuse("the mix of the sources (rows of an epoch)", RowsOf(meta.order), RowsOf(now));
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
  // Rank 0 looks and checks every byte, as for a resume.
  ModelSource from;
  Together(comm_, [&] {
    if (comm_.rank() != 0) return;
    from = ResolveModel(init);
    const std::string folder = std::filesystem::path(from.file).parent_path();
    if (from.run.empty() && HoldsCheckpoint(folder)) CheckCheckpoint(folder);
  });
  SayPassedOver(from.passed_over, console_);
  const std::string file = GatherTexts(comm_, from.file).front();
  model_.Load(ReadSafetensors(file).tensors, file);
  const std::string folder = std::filesystem::path(file).parent_path();
  if (objective_->state_columns().empty() || !HoldsCheckpoint(folder)) {
    console_.Say(fmt::format("weights from {}", file));
    return;
  }
  const CheckpointMeta meta = ReadCheckpointMeta(folder);
  if (meta.data_hash != source_->hash()) {
    console_.Say(
        fmt::format("weights from {}; its estimators belong to other data and are left", file));
    return;
  }
  const auto saved = OpenTable(folder);
  if (!saved || saved->columns() != table_.columns()) {
    console_.Say(fmt::format(
        "weights from {}; its estimators belong to another objective and are left", file));
    return;
  }
  CarryOver(*saved, OrderPlan(meta.order), table_);
  console_.Say(fmt::format("weights and estimators from {}", folder));
  SayIfEstimatorsAreLost();
}

void Trainer::TakeEstimators(const std::string& file) {
  const std::string& field = config_->data.index_by;
  std::optional<RecordKeys> keys;
  if (!field.empty()) {
    using Clock = std::chrono::steady_clock;
    Clock::time_point said = {};
    SourceOptions options = TrainSourceOf(*config_);
    options.trust_manifest = comm_.rank() != 0;
    keys.emplace(Rank0First(comm_, [&] {
      return RecordKeys(
          config_->data.train, field, options, [&](std::int64_t done, std::int64_t all) {
            if (Clock::now() - said < std::chrono::seconds(10)) return;
            said = Clock::now();
            console_.Say(
                fmt::format("reading {} of all records, once: {} of {}", field, done, all));
          });
    }));
  }
  ImportedEstimators imported;
  Together(comm_, [&] {
    if (keys && keys->data_hash() != source_->hash()) {
      throw std::runtime_error(
          fmt::format("{}: changed while {} was read; start again", config_->data.train, field));
    }
    imported = ImportEstimators(file, keys ? &*keys : nullptr, table_);
  });
  const auto sum = [&](std::int64_t mine) {
    const std::vector<std::int64_t> all = GatherNumbers(comm_, mine);
    return std::accumulate(all.begin(), all.end(), std::int64_t{0});
  };
  const std::int64_t records = sum(imported.records - imported.never_seen);
  const std::int64_t without_key = sum(imported.without_key);
  console_.Say(fmt::format(
      "estimators of {} records from {} ({}){}", records, file, fmt::join(imported.tensors, ", "),
      without_key == 0
          ? ""
          : fmt::format("; {} records have no {} and begin anew", without_key, field)));
  SayIfEstimatorsAreLost();
}

void Trainer::SayIfEstimatorsAreLost() {
  if (Gamma(config_->gamma, 0, config_->train.epochs) < 1) return;
  console_.Say(
      "note: gamma is 1 in the first epoch, which makes the estimators anew; gamma.start below 1 "
      "keeps them");
}

}  // namespace fastclip
