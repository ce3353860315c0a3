#include "trainer/config/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <stdexcept>

#include "pipeline/base/printable.h"
#include "pipeline/base/suggested_command.h"
#include "pipeline/base/utf8.h"
#include "pipeline/loader/compute_pool.h"
#include "pipeline/sources/record_keys.h"
#include "tokenizer/tokenizer_spec.h"
#include "trainer/config/core_share.h"
#include "trainer/config/expanded_braces.h"
#include "trainer/config/label_task.h"

namespace fastclip {
namespace {

namespace fs = std::filesystem;

constexpr const char* kRunConfig = "config.toml";

/// The config file for `path`: itself, or config.toml of a run folder.
std::string ConfigFileOf(const std::string& path) {
  std::error_code absent;
  if (!fs::is_directory(path, absent)) return path;
  const fs::path file = fs::path(path) / kRunConfig;
  if (fs::exists(file, absent)) return file;
  if (fs::exists(fs::path(path) / "checkpoint.json", absent)) {
    throw ConfigError(fmt::format(
        "{0}: is a checkpoint, not a run. A resume continues at the newest checkpoint of a run: "
        "{1} RUN resume=true. To go back to this one, remove the later ones, or start a new run "
        "from it: {1} CONFIG.toml run=NEW train.init={0}",
        path, SuggestedCommand("train")));
  }
  throw ConfigError(fmt::format("{}: is a folder without a {}; use a config file or a run folder",
                                path, kRunConfig));
}

/// `errors`: one on each line.
void ThrowIfAny(const std::string& errors) {
  if (errors.empty()) return;
  const auto more = std::ranges::count(errors, '\n');
  if (more == 0) throw ConfigError(errors);
  std::string text = fmt::format("{} errors:\n  ", more + 1);
  for (const char c : errors) text += c == '\n' ? std::string("\n  ") : std::string(1, c);
  throw ConfigError(text);
}

}  // namespace

ObjectiveOptions ObjectiveOf(const TrainConfig& config) {
  ObjectiveOptions options = config.objective;
  options.tau_init = config.temperature.init;
  options.tau_beta1 = config.optimizer.beta1;
  options.tau_beta2 = config.optimizer.beta2;
  options.tau_eps = config.optimizer.eps;
  return options;
}

TableKeys TableKeysOf(const TrainConfig& config) {
  TableKeys keys{.image = config.data.image_key, .caption = config.data.caption_key};
  if (!config.data.separator.empty()) keys.separator = ParseSeparator(config.data.separator);
  return keys;
}

LoadedConfig::LoadedConfig(const std::string& path, const std::vector<std::string>& overrides,
                           const HostOfRun& host) {
  BindConfig(config_, table_);
  config_.pipeline.ranks_of_host = host.ranks;
  const std::string file = ConfigFileOf(path);
  std::string wrong;  // a line for each error: all are told at once
  const auto try_to = [&](const auto& read) {
    try {
      read();
    } catch (const ConfigError& error) {
      wrong += (wrong.empty() ? "" : "\n") + std::string(error.what());
    }
  };
  try_to([&] { table_.ReadFile(file); });
  if (wrong.empty()) MoveRunTo(file);
  if (const std::string fault = BracesTheShellExpanded(overrides); !fault.empty()) {
    throw ConfigError(fault);
  }
  for (const std::string& word : overrides) {
    if (!IsUtf8(word)) {
      throw ConfigError(
          fmt::format("{}: not UTF-8, but the run's config.toml must be; rename the file or "
                      "folder, or use a link",
                      Printable(word)));
    }
    try_to([&] { table_.Override(word); });
  }
  ThrowIfAny(wrong);
  if (config_.adapt.classifies()) config_.idle_for_labels = SetLabelTask(config_);
  table_.CheckRequired(file);
  Resolve(host);
  Validate(file);
}

/// RUN/config.toml holds the folder where the run was when it started.
void LoadedConfig::MoveRunTo(const std::string& file) {
  const fs::path folder = fs::absolute(file).lexically_normal().parent_path();
  std::error_code absent;
  const bool is_run =
      fs::exists(folder / "starts.jsonl", absent) || fs::exists(folder / "checkpoints", absent);
  if (fs::path(file).filename() != kRunConfig || !is_run) return;
  // If it is the same folder under another name, the user's name is kept.
  if (fs::equivalent(config_.run, folder, absent)) return;
  if (config_.model.name == config_.run + "/model.toml") config_.model.name = folder / "model.toml";
  config_.run = folder;
}

void LoadedConfig::Resolve(const HostOfRun& host) {
  try {
    config_.pipeline.decode.formats = ParsePictureFormats(config_.formats);
  } catch (const std::invalid_argument& error) {
    throw table_.Error("pipeline.formats", error.what());
  }
  config_.pipeline.fast_pixels = config_.pixels == "fast";
  if (config_.gamma.schedule == "advice") {
    config_.gamma.min = AdvisedGammaMin(config_.train.epochs);
  }
  if (config_.train.device == "auto" && host.choose_device) {
    device_choice_ = host.choose_device();
    config_.train.device = device_choice_.device;
    config_.train.device_is_auto = true;
  }
  const bool on_gpu = config_.train.device == "cuda";
  cores_ = {.cores = UsableCores(), .ranks = host.ranks};
  if (on_gpu && config_.train.pin_to_gpu_node && host.cores_near_gpu) {
    cores_ = host.cores_near_gpu();
    cores_.ranks = std::max(cores_.ranks, 1);  // none where the GPUs are not there
  }
  const RankThreads threads = ShareCores({.cores = cores_.cores,
                                          .ranks = cores_.ranks,
                                          .on_gpu = on_gpu,
                                          .model = config_.train.threads,
                                          .decoders = config_.decoders});
  shares_cores_ = config_.train.threads == 0 || config_.decoders == 0;
  config_.train.threads_are_auto = config_.train.threads == 0;
  config_.train.threads = threads.model;
  config_.pipeline.threads = threads.decoders;
}

std::string LoadedConfig::DescribeThreads() const {
  std::string text =
      fmt::format("{} for training, {} for decoding", Counted(config_.train.threads, "thread"),
                  config_.pipeline.threads);
  if (shares_cores_) {
    text += fmt::format(" ({}, {})", Counted(cores_.cores, "core"), Counted(cores_.ranks, "rank"));
  }
  return text;
}

void LoadedConfig::Validate(const std::string& path) const {
  const auto need = [&](const std::string& key, const std::string& value, const char* example) {
    if (value.empty()) {
      throw ConfigError(fmt::format("{}: {} is not set; for example {}", path, key, example));
    }
  };
  need("run", config_.run, "run = \"runs/first\"");
  need("data.train", config_.data.train, "data.train = \"shards/{00000..00099}.tar\"");

  if (config_.adapt.on()) ValidateAdapt();

  const auto ordered = [&](const char* low_key, double low, const char* high_key, double high) {
    if (low > high) {
      throw table_.Error(low_key, fmt::format("{} is more than {} = {}", low, high_key, high));
    }
  };
  const AugmentOptions& augment = config_.pipeline.augment;
  ordered("pipeline.scale_min", augment.scale_min, "pipeline.scale_max", augment.scale_max);
  ordered("pipeline.ratio_min", augment.ratio_min, "pipeline.ratio_max", augment.ratio_max);
  const LearningRateOptions& rate = config_.learning_rate;
  ordered("learning_rate.lr_min", rate.lr_min, "learning_rate.lr", rate.lr);
  ordered("learning_rate.cooldown_end", rate.cooldown_end, "learning_rate.lr", rate.lr);
  if (rate.schedule == "const-cooldown" && rate.cooldown_epochs > config_.train.epochs) {
    throw table_.Error("learning_rate.cooldown_epochs",
                       fmt::format("{} is more than train.epochs = {}", rate.cooldown_epochs,
                                   config_.train.epochs));
  }

  const auto checked = [&](const std::string& key, auto&& check) {
    try {
      check();
    } catch (const std::invalid_argument& error) {
      throw table_.Error(key, error.what());
    }
  };
  checked("data.tokenizer", [&] { ParseTokenizerSpec(config_.data.tokenizer); });
  checked("data.captions",
          [&] { ParseCaptionKeys(config_.data.captions, config_.data.caption_weights); });
  checked("data.separator", [&] { TableKeysOf(config_); });
  checked("gamma.schedule", [&] { CheckGamma(config_.gamma); });
  checked("temperature.schedule", [&] { CheckTemperature(config_.temperature); });
  checked("learning_rate.schedule", [&] { CheckLearningRate(rate); });
  checked("optimizer.name", [&] { CheckOptimizer(config_.optimizer); });
  bool learns_temperature = false, has_estimators = false;
  checked("objective.name", [&] {
    const auto objective = MakeObjective(ObjectiveOf(config_));
    learns_temperature = objective->learns_temperature();
    has_estimators = !objective->state_columns().empty();
  });
  if (!config_.train.init_estimators.empty() && !has_estimators) {
    throw table_.Error(
        "train.init_estimators",
        fmt::format("objective {} has no estimators; leave it empty", config_.objective.name));
  }
  if (const std::string& field = config_.data.index_by; !field.empty()) {
    checked("data.index_by", [&] { CheckKeyField(field); });
  }

  CheckTemperatureFits();
  // Otherwise the temperature's own rate would rise to the model's end value.
  const TemperatureOptions& tau = config_.temperature;
  if (learns_temperature && tau.lr >= 0) {
    const std::string& curve = tau.schedule == "model" ? rate.schedule : tau.schedule;
    if (curve == "cosine") ordered("learning_rate.lr_min", rate.lr_min, "temperature.lr", tau.lr);
    if (curve == "const-cooldown") {
      ordered("learning_rate.cooldown_end", rate.cooldown_end, "temperature.lr", tau.lr);
    }
  }

  const std::string& attention = config_.train.kernels.attention;
  if (config_.train.device == "cpu" && (attention == "cudnn" || attention == "mem_efficient")) {
    throw table_.Error("train.attention",
                       fmt::format("\"{}\" is for GPUs; on the CPU use \"auto\", "
                                   "\"flash\" or \"math\"",
                                   attention));
  }
  if (config_.train.batch_size % config_.train.micro_batches != 0) {
    throw table_.Error("train.micro_batches",
                       fmt::format("{} does not divide train.batch_size = {}",
                                   config_.train.micro_batches, config_.train.batch_size));
  }
  if (config_.train.precision == "amp" && config_.optimizer.name == "lamb" &&
      config_.train.micro_batches > 1) {
    throw table_.Error("train.precision",
                       "lamb cannot be used with float16 micro-batches: small gradients underflow "
                       "to 0, which distorts lamb's trust ratio; use \"amp_bf16\", "
                       "train.micro_batches = 1 or another optimizer");
  }
  if (config_.train.cuda_graphs) ValidateGraphs();
  if (!config_.model.pretrained.empty() && !config_.train.init.empty()) {
    throw table_.Error("train.init", "model.pretrained is also set; set only one of them");
  }
}

void LoadedConfig::ValidateGraphs() const {
  if (config_.train.device == "cpu") {  // found by "auto", it is only said that there is no effect
    if (config_.train.device_is_auto) return;
    throw table_.Error("train.cuda_graphs",
                       "needs a GPU; set train.device = \"cuda\", or train.cuda_graphs = false");
  }
  RefuseUnrecordable();
}

void LoadedConfig::RefuseUnrecordable() const {
  const auto refuse = [&](const char* what) {
    throw table_.Error("train.cuda_graphs", fmt::format("{}, or train.cuda_graphs = false", what));
  };
  if (config_.model.trim_text) {
    refuse(
        "recorded steps have one shape, but captions are trimmed to the longest of each batch; set "
        "model.trim_text = false");
  }
  if (config_.model.patch_dropout > 0) {
    refuse("recorded steps have no dropout; set model.patch_dropout = 0");
  }
  if (config_.adapt.classifies()) {
    refuse("recorded steps learn from pairs; set adapt.task = \"contrastive\"");
  }
  if (config_.train.state == "host") {
    refuse("recorded steps cannot use state in host memory; set train.state = \"device\"");
  }
}

void LoadedConfig::ValidateAdapt() const {
  const bool labels = config_.adapt.classifies();
  if (config_.model.pretrained.empty() && config_.train.init.empty()) {
    throw table_.Error(labels ? "adapt.task" : "adapt.tuners",
                       std::string(labels ? "a head needs" : "tuners need") +
                           " trained weights to start from; set model.pretrained (a .safetensors "
                           "file) or train.init (a run)");
  }
  if (labels && !config_.train.init_estimators.empty()) {
    throw table_.Error("train.init_estimators", "labels have no estimators; leave it empty");
  }
  for (const auto& [key, locked] : {std::pair{"model.lock_image", config_.model.lock.image},
                                    {"model.lock_text", config_.model.lock.text}}) {
    if (!locked) continue;
    throw table_.Error(key, "[adapt] already freezes everything without a tuner; set it to false");
  }
}

// Pairs of options that are valid alone but not together.
void LoadedConfig::CheckTemperatureFits() const {
  const std::string& name = config_.objective.name;
  const TemperatureKind kind = TemperatureOf(name);
  if (kind == TemperatureKind::kConstant && config_.temperature.lr > 0) {
    throw table_.Error(
        "temperature.lr",
        fmt::format(
            "{} is set, but {} keeps the temperature constant; leave it at -1, or use fastclip_v3",
            config_.temperature.lr, name));
  }
  if (config_.temperature.from == "weights" && config_.model.pretrained.empty() &&
      config_.train.init.empty()) {
    throw table_.Error(
        "temperature.from",
        "\"weights\" needs weights to start from; set model.pretrained or train.init, or "
        "leave it at \"auto\"");
  }
  if (kind == TemperatureKind::kIndividual && config_.temperature.schedule != "const") {
    throw table_.Error(
        "temperature.schedule",
        fmt::format(
            "{} needs a constant learning rate for its per-sample temperatures; set "
            "temperature.schedule = \"const\", and temperature.lr (0.0133 in the published recipe)",
            name));
  }
  if ((name == "sogclr" || name == "isogclr") && config_.gamma.schedule != "constant") {
    throw table_.Error(
        "gamma.schedule",
        fmt::format("{} needs gamma.schedule = \"constant\"; for \"{}\" use {}", name,
                    config_.gamma.schedule, name == "sogclr" ? "fastclip_v1" : "fastclip_v2"));
  }
}

}  // namespace fastclip
