#include "trainer/run/resume_check.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "pipeline/base/printable.h"
#include "pipeline/base/suggested_command.h"
#include "tokenizer/tokenizer_spec.h"
#include "trainer/config/config_keys.h"
#include "trainer/model/presets.h"
#include "trainer/run/run_data.h"

namespace fastclip {
namespace {

namespace fs = std::filesystem;

std::string RowsOf(const OrderOptions& order) {
  if (order.parts.empty()) return "each record once";
  std::vector<std::int64_t> rows;
  for (const MixPart& part : order.parts) rows.push_back(part.rows);
  return fmt::format("[{}]", fmt::join(rows, ", "));
}

/// Collects all differences.
class Differences {
 public:
  template <class Value>
  void Compare(const char* what, const Value& before, const Value& now) {
    if (before == now) return;
    list_.push_back(fmt::format("{} was {} in this run and is {} now", what, before, now));
  }
  void Add(std::string difference) { list_.push_back(std::move(difference)); }
  bool empty() const { return list_.empty(); }
  /// One difference goes on in the line, several have a line each.
  std::string text() const {
    return list_.size() == 1 ? " " + list_.front()
                             : fmt::format("\n  {}\n", fmt::join(list_, "\n  "));
  }
  /// Behind text().
  const char* end() const { return list_.size() == 1 ? ". " : ""; }

 private:
  std::vector<std::string> list_;
};

ConfigValues ConfigBefore(const FoundCheckpoint& found) {
  if (!found.meta.config.empty()) return found.meta.config;
  return ReadConfigValues(fs::path(found.path).parent_path().parent_path() / "config.toml");
}

void CompareOrder(const OrderOptions& before, const OrderOptions& now, Differences& differences) {
  differences.Compare("the number of records", before.size, now.size);
  differences.Compare("train.batch_size", before.batch_size, now.batch_size);
  differences.Compare("data.tail", std::string(TailName(before.tail)),
                      std::string(TailName(now.tail)));
  differences.Compare("data.resampled", before.resampled, now.resampled);
  differences.Compare("the source mix (rows per epoch)", RowsOf(before), RowsOf(now));
  differences.Compare("train.seed", before.seed, now.seed);
  // The defaults of these depend on the two sizes.
  if (before.size != now.size || before.batch_size != now.batch_size) return;
  differences.Compare("data.lanes", before.lanes, now.lanes);
  differences.Compare("data.chunk", before.chunk, now.chunk);
  differences.Compare("data.window", before.window, now.window);
}

void CompareModel(const CheckpointMeta& meta, const RunNow& now, Differences& differences) {
  if (meta.model_config.empty()) return;
  const auto before = nlohmann::json::parse(meta.model_config).flatten();
  const auto is = nlohmann::json::parse(OpenClipJson(now.model)).flatten();
  for (const auto& [key, value] : is.items()) {
    const auto was = before.value(key, nlohmann::json());
    if (was == value) continue;
    differences.Add(fmt::format("model {3}: {0} was {1} in this run and is {2} now", key.substr(1),
                                was.dump(), value.dump(), now.config.model.name));
  }
}

void CompareTokenizer(const CheckpointMeta& meta, const RunNow& now, Differences& differences) {
  if (meta.tokenizer.empty()) return;
  const std::string& spec = now.config.data.tokenizer;
  if (ParseTokenizerSpec(meta.tokenizer).kind == ParseTokenizerSpec(spec).kind &&
      meta.vocabulary_hash == now.vocabulary_hash) {
    return;
  }
  differences.Add(
      fmt::format("data.tokenizer was {} (hash {:016x}) in this run and is {} (hash {:016x}) now",
                  meta.tokenizer, meta.vocabulary_hash, spec, now.vocabulary_hash));
}

/// sgdm has a moment per parameter only if its momentum is not 0.
bool OtherMoments(const ChangedKey& changed, const TrainConfig& now) {
  return changed.name == "optimizer.momentum" && now.optimizer.name == "sgdm" &&
         (std::stod(changed.before) == 0) != (now.optimizer.momentum == 0);
}

}  // namespace

void RefuseOtherRun(const FoundCheckpoint& found, const RunNow& now) {
  const CheckpointMeta& meta = found.meta;
  Differences model;  // weights fit no other model
  CompareModel(meta, now, model);
  CompareTokenizer(meta, now, model);
  if (!model.empty()) {
    throw ConfigError(
        fmt::format("{}:{}{}To resume, leave this as it was. With other values, start a new run "
                    "with another run=FOLDER",
                    found.path, model.text(), model.end()));
  }
  Differences others;
  if (now.data_hash && meta.data_hash != *now.data_hash) {
    const std::string change = DescribeDataChange(now.config.run, now.data_files);
    others.Add(fmt::format("the data's hash was {:016x} in this run and is {:016x} now{}{}",
                           meta.data_hash, *now.data_hash, change.empty() ? "" : ": ", change));
  }
  CompareOrder(meta.order, now.plan.options(), others);
  others.Compare("objective.name", meta.objective, now.config.objective.name);
  others.Compare("objective.mode", meta.mode, now.config.objective.mode);
  for (const ChangedKey& changed : ChangedKeys(ConfigBefore(found), now.values)) {
    if (changed.change == KeyChange::kSameState || OtherMoments(changed, now.config)) {
      others.Compare(changed.name.c_str(), changed.before, changed.now);
    }
  }
  const std::int64_t steps = now.plan.steps(now.config.train.epochs);
  if (others.empty() && meta.step > steps) {
    throw ConfigError(fmt::format(
        "{}: train.epochs = {} ends at step {}, but this run is at step {}; use more epochs",
        found.path, now.config.train.epochs, steps, meta.step));
  }
  if (others.empty()) return;
  throw ConfigError(fmt::format(
      "{}:{}{}To resume, leave this as it was: {} {} {}. With other values, start a new run from "
      "this one with run=ANOTHER_FOLDER "
      "train.init={} (keeps the weights, and the estimators if data and objective are the same; "
      "restarts the optimizer state, the schedules and the data order)",
      found.path, others.text(), others.end(), SuggestedCommand("train"), ShellWord(now.config.run),
      kUsesOwnConfig, found.path));
}

std::vector<std::string> DescribeResume(const FoundCheckpoint& found, const RunNow& now) {
  std::vector<std::string> lines;
  const ConfigValues values = ConfigBefore(found);
  if (values.empty()) {
    return {
        "note: the run's config is unknown (not in the checkpoint, no readable config.toml); "
        "changed "
        "keys cannot be listed"};
  }
  const std::vector<ChangedKey> changed = ChangedKeys(values, now.values);
  for (const ChangedKey& key : changed) {
    const bool derived = key.name == "gamma.min" && now.config.gamma.schedule == "advice";
    lines.push_back("resume: " + Describe(key) +
                    (derived ? ", follows from train.epochs (gamma.schedule = \"advice\")" : ""));
  }
  const std::int64_t steps = now.plan.steps(now.config.train.epochs);
  if (found.meta.step >= steps) {
    lines.push_back(
        fmt::format("resume: nothing is left to train: step {} of {} is done; raise "
                    "train.epochs to continue",
                    found.meta.step, steps));
  }
  if (changed.empty()) return lines;
  const TrainConfig before = ConfigFrom(values);
  const double epoch_steps = now.plan.mean_steps_per_epoch();
  const std::string jumps =
      DescribeJumps(before, now.config,
                    {.step = found.meta.step,
                     .epoch = found.meta.epoch,
                     .before = {now.plan.steps(before.train.epochs), epoch_steps},
                     .now = {now.plan.steps(now.config.train.epochs), epoch_steps}});
  if (!jumps.empty() && found.meta.step < steps) {
    lines.push_back(fmt::format("resume: jumps at step {}: {}", found.meta.step, jumps));
  }
  return lines;
}

std::string DescribeRounding(const CheckpointMeta& meta, std::int64_t threads, std::int64_t ranks) {
  if (meta.threads == threads && meta.world_size == ranks) return "";
  return fmt::format(
      "note: trained before with {} on {}, now with {} on {}: results are equal up to rounding, "
      "not "
      "bit-identical",
      Counted(meta.threads, "thread"), Counted(meta.world_size, "rank"), Counted(threads, "thread"),
      Counted(ranks, "rank"));
}

std::string NothingToResume(const TrainConfig& config) {
  return fmt::format("resume = true, but {} has no checkpoint: a new run starts there", config.run);
}

std::string HowToResume(const TrainConfig& config, const std::string& failure) {
  std::string command =
      SuggestedCommand(fmt::format("train {} resume=true", ShellWord(config.run)));
  if (failure.find("pipeline.max_skips_in_a_row") != failure.npos) {
    command += fmt::format(" pipeline.max_skips_in_a_row={}",
                           2 * std::int64_t{config.pipeline.max_skips_in_a_row});
  }
  if (failure.find("nothing to evaluate") != failure.npos) command += " eval.every_epochs=0";
  if (failure.find("out of memory in an evaluation") != failure.npos) {
    command +=
        fmt::format(" eval.batch_size={}", std::max<std::int64_t>(config.eval.batch_size / 2, 1));
  }
  if (failure.find("data.max_skips_per_mille") != failure.npos) {
    command += fmt::format(" data.max_skips_per_mille={:g}",
                           std::clamp(2 * config.data.max_skips_per_mille, 1.0, 1000.0));
  }
  return command;
}

TrainConfig ResumedConfig(const FoundCheckpoint& found, const TrainConfig& config) {
  const ConfigValues before = ConfigBefore(found);
  ConfigValues now = ValuesOf(config);
  for (const KeyInfo& key : ConfigKeys()) {
    const auto was = before.find(std::string(key.name));
    if (key.change == KeyChange::kStartOnly && was != before.end()) now[was->first] = was->second;
  }
  TrainConfig resumed = ConfigFrom(now);
  // Not in a config file.
  resumed.pipeline = config.pipeline;
  resumed.train.device_is_auto = config.train.device_is_auto;
  resumed.train.threads_are_auto = config.train.threads_are_auto;
  return resumed;
}

std::string OtherConfigNote(const std::string& run, const ConfigValues& now) {
  const ConfigValues own = ReadConfigValues((fs::path(run) / "config.toml").string());
  if (own.empty()) return "";
  std::vector<std::string> names;
  for (const ChangedKey& key : ChangedKeys(own, now)) {
    if (key.change == KeyChange::kSameSample || key.change == KeyChange::kSameState) {
      names.push_back(key.name);
    }
  }
  if (names.empty()) return "";
  return fmt::format("{}/config.toml has other values of {}; {} {} resume=true uses them", run,
                     fmt::join(names, ", "), SuggestedCommand("train"), ShellWord(run));
}

}  // namespace fastclip
