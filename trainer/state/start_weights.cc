#include "trainer/state/start_weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <stdexcept>
#include <system_error>

#include "pipeline/base/suggested_command.h"
#include "pipeline/shards/shard_list.h"
#include "trainer/objective/estimator.h"
#include "trainer/state/checkpoint_names.h"
#include "trainer/state/foreign_weights.h"
#include "trainer/state/weights_origin.h"

namespace fastclip {
namespace {

bool Differ(double a, double b) { return std::abs(a - b) > 1e-5 * std::abs(b); }

/// Whether the weights' values are used (`temperature.from`). By default they are if the value is
/// learned, as in OpenCLIP. A constant or per-sample temperature comes from the config.
bool WeightsCount(const TrainConfig& config) {
  if (config.temperature.from != "auto") return config.temperature.from == "weights";
  return TemperatureOf(config.objective.name) == TemperatureKind::kLearned;
}

/// Why `path` cannot be a file of weights, if it is a folder or not there.
std::string NoFile(const std::string& path) {
  std::error_code unknown;
  if (std::filesystem::is_directory(path, unknown)) {
    return fmt::format(
        "{0} is a folder; to start from a run or a checkpoint set train.init={0}, which takes its "
        "estimators too, or name a .safetensors file, as RUN/checkpoints/step_N/model.safetensors",
        path);
  }
  if (std::filesystem::exists(path, unknown) || unknown) return "";
  return fmt::format(
      "{}: no such file{}; check the path. For published weights give OpenCLIP's tag instead, such "
      "as openai: the error then prints the command that saves them",
      path, RelativeNote(path));
}

}  // namespace

StartWeights::StartWeights(const LoadedConfig& config, const ModelConfig& model,
                           std::uint64_t vocabulary_hash, const std::string& init) {
  const std::string& path = init.empty() ? config->model.pretrained : init;
  if (!path.empty()) {
    const char* const key = init.empty() ? "model.pretrained" : "train.init";
    if (const std::string error = PublishedName(path, model.name); !error.empty()) {
      throw config.table().Error(key, error);
    }
    if (const std::string error = NoFile(path); !error.empty()) {
      throw config.table().Error(key, error);
    }
    if (std::filesystem::path(path).filename() == kAdapterFile) {
      throw config.table().Error(
          key, fmt::format("{} is an adapter, not a whole model; merge it with its base first: {}",
                           path, SuggestedCommand("adapt merge")));
    }
    const std::string note = CheckOrigin(path, {.config = model,
                                                .tokenizer = config->data.tokenizer,
                                                .vocabulary_hash = vocabulary_hash,
                                                .model_option = "model.name",
                                                .tokenizer_option = "data.tokenizer"});
    file_.emplace(path);
    if (!file_->prefix().empty()) notes_.push_back(file_->DescribePrefix());
    if (!note.empty()) notes_.push_back(note);
  }
  ChooseTemperature(*config);
  if (config->objective.name == "siglip") {
    ChooseBias(*config);
  } else if (file_ && file_->Number("logit_bias")) {
    notes_.push_back(
        fmt::format("note: the logit_bias of {} is ignored: only siglip uses one", file_->path()));
  }
}

void StartWeights::ChooseTemperature(const TrainConfig& config) {
  const double written = config.temperature.init;
  temperature_.tau = written;
  const std::optional<double> t = file_ ? file_->Number("logit_scale") : std::nullopt;
  if (!t) return;
  const double theirs = std::exp(-*t), within = std::clamp(theirs, kSmallestTau, kLargestTau);
  temperature_.tau_of_weights = WeightsCount(config);
  if (temperature_.tau_of_weights) temperature_.tau = within;
  if (!Differ(theirs, written)) return;
  notes_.push_back(
      temperature_.tau_of_weights
          ? fmt::format(
                "using the weights' temperature, {:.4g}{}; temperature.from = \"config\" would use "
                "temperature.init = {:g}",
                within, Differ(theirs, within) ? fmt::format(" ({:.4g}), clamped", theirs) : "",
                written)
          : fmt::format(
                "using temperature.init = {:g}; temperature.from = \"weights\" would use the "
                "weights' temperature, {:.4g}",
                written, theirs));
}

void StartWeights::ChooseBias(const TrainConfig& config) {
  const double written = config.temperature.logit_bias;
  temperature_.bias = written;
  const std::optional<double> theirs = file_ ? file_->Number("logit_bias") : std::nullopt;
  if (!theirs) return;
  temperature_.bias_of_weights = WeightsCount(config);
  if (temperature_.bias_of_weights) temperature_.bias = *theirs;
  if (!Differ(*theirs, written)) return;
  notes_.push_back(
      temperature_.bias_of_weights
          ? fmt::format(
                "using the weights' logit_bias, {:.4g}; temperature.from = \"config\" would use "
                "temperature.logit_bias = {:g}",
                *theirs, written)
          : fmt::format(
                "using temperature.logit_bias = {:g}; temperature.from = \"weights\" would use "
                "the weights' logit_bias, {:.4g}",
                written, *theirs));
}

ModelSource ResolveInit(const LoadedConfig& config) {
  try {
    return ResolveModel(config->train.init);
  } catch (const std::runtime_error& error) {
    throw config.table().Error("train.init", error.what());
  }
}

}  // namespace fastclip
