#include "trainer/config/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <stdexcept>
#include <thread>

#include "pipeline/base/printable.h"
#include "pipeline/base/utf8.h"
#include "pipeline/loader/compute_pool.h"
#include "pipeline/sources/record_keys.h"
#include "tokenizer/tokenizer_spec.h"
#include "trainer/base/precision.h"
#include "trainer/config/config_keys.h"

namespace fastclip {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kMany = 1'000'000'000'000;
constexpr double kInfinite = std::numeric_limits<double>::max();
constexpr const char* kRunConfig = "config.toml";

/// The config that a user's word means: a file, or the one in a run folder.
std::string ConfigFileOf(const std::string& path) {
  std::error_code absent;
  if (!fs::is_directory(path, absent)) return path;
  const fs::path file = fs::path(path) / kRunConfig;
  if (fs::exists(file, absent)) return file;
  throw ConfigError(
      fmt::format("{}: is a folder without a {}; name a config file, or the folder of a run", path,
                  kRunConfig));
}

}  // namespace

void BindConfig(TrainConfig& c, ConfigTable& table) {
  table.HintBy(KeyMeantBy);
  table.Text("run", c.run);
  table.Flag("resume", c.resume);

  table.Integer("train.epochs", c.train.epochs, 1, 1'000'000);
  table.Integer("train.batch_size", c.train.batch_size, 2, 1 << 24);
  table.Unsigned("train.seed", c.train.seed);
  table.Integer("train.threads", c.train.threads, 0, kMostThreads);
  table.Choice("train.device", c.train.device, {"cpu", "cuda"});
  table.Choice("train.precision", c.train.precision, PrecisionNames());
  table.Flag("train.grad_checkpointing", c.train.grad_checkpointing);
  table.Integer("train.micro_batches", c.train.micro_batches, 1, 4096);
  table.Real("train.clip_norm", c.train.clip_norm, 0, kInfinite);
  table.Text("train.init", c.train.init);
  table.Text("train.init_estimators", c.train.init_estimators);
  table.Integer("train.log_every", c.train.log_every, 1, kMany);

  table.Text("data.train", c.data.train);
  table.Text("data.val", c.data.val);
  table.Text("data.manifest", c.data.manifest);
  table.Text("data.tokenizer", c.data.tokenizer);
  table.Integer("data.chunk", c.data.chunk, 0, 1 << 20);
  table.Integer("data.lanes", c.data.lanes, 0, 1 << 24);
  table.IntegerList("data.lanes_per_rank", c.data.lanes_per_rank, 1, 1 << 24);
  table.Integer("data.window", c.data.window, 0, kMany);
  table.Choice("data.tail", c.data.tail, {"drop", "pad", "carry"});
  MixOptions& mix = c.data.mix;
  table.RealList("data.weights", mix.weights, 0, 1e12);
  table.RealList("data.repeats", mix.repeats, 0, 1e6);
  table.IntegerList("data.counts", mix.counts, 0, kMany);
  table.Integer("data.epoch_samples", mix.epoch_samples, 0, kMany);
  table.Flag("data.resampled", mix.resampled);
  table.Integer("data.max_record_bytes", c.data.max_record_bytes, 1 << 10, std::int64_t{1} << 31);
  table.Flag("data.verify_checksums", c.data.verify_checksums);
  table.Text("data.index_by", c.data.index_by);
  table.TextList("data.captions", c.data.captions);
  table.RealList("data.caption_weights", c.data.caption_weights, 0, 1e6);
  table.Text("data.image_key", c.data.image_key);
  table.Text("data.caption_key", c.data.caption_key);
  table.Text("data.separator", c.data.separator);
  table.Choice("data.caption_lines", c.data.caption_lines, {"auto", "split", "whole"});
  table.Real("data.max_skips_per_mille", c.data.max_skips_per_mille, 0, 1000);

  table.Text("model.name", c.model.name);
  table.Text("model.pretrained", c.model.pretrained);
  table.Flag("model.trim_text", c.model.trim_text);
  table.Real("model.patch_dropout", c.model.patch_dropout, 0, 0.999);
  table.Flag("model.sync_batch_norm", c.model.sync_batch_norm);
  LockOptions& lock = c.model.lock;
  table.Flag("model.lock_image", lock.image);
  table.Integer("model.lock_image_unlocked_groups", lock.image_unlocked_groups, 0, kMany);
  table.Flag("model.lock_image_freeze_bn_stats", lock.image_freeze_bn_stats);
  table.Flag("model.lock_text", lock.text);
  table.Integer("model.lock_text_unlocked_layers", lock.text_unlocked_layers, 0, kMany);
  table.Flag("model.lock_text_freeze_layer_norm", lock.text_freeze_layer_norm);

  table.Choice("objective.name", c.objective.name, ObjectiveNames());
  table.Choice("objective.mode", c.objective.mode, {"reference", "exact"}, /*required=*/true);
  table.Real("objective.rho", c.objective.rho, 0, kInfinite);
  table.Real("objective.epsilon", c.objective.epsilon, 0, 1);
  table.Integer("objective.tile", c.objective.tile, 0, 1 << 24);

  table.Choice("gamma.schedule", c.gamma.schedule, {"cosine", "constant", "advice"});
  table.Real("gamma.start", c.gamma.start, 1e-6, 1);
  table.Real("gamma.min", c.gamma.min, 1e-6, 1);
  table.Integer("gamma.decay_epochs", c.gamma.decay_epochs, 0, 1'000'000);

  table.Real("temperature.init", c.temperature.init, 0.01, 1);
  table.Choice("temperature.from", c.temperature.from, {"auto", "config", "weights"});
  table.Real("temperature.lr", c.temperature.lr, -1, kInfinite);
  table.Real("temperature.logit_bias", c.temperature.logit_bias, -1000, 1000);
  table.Choice("temperature.schedule", c.temperature.schedule,
               {"cosine", "model", "const", "step_thresh"});

  table.Choice("optimizer.name", c.optimizer.name, OptimizerNames());
  table.Real("optimizer.beta1", c.optimizer.beta1, 0, 0.999999);
  table.Real("optimizer.beta2", c.optimizer.beta2, 0, 0.999999);
  table.Real("optimizer.eps", c.optimizer.eps, 1e-15, 1);
  table.Real("optimizer.weight_decay", c.optimizer.weight_decay, 0, 100);
  table.Real("optimizer.momentum", c.optimizer.momentum, 0, 0.999999);
  table.Flag("optimizer.nesterov", c.optimizer.nesterov);

  table.Choice("learning_rate.schedule", c.learning_rate.schedule,
               {"cosine", "const", "const-cooldown"});
  table.Real("learning_rate.lr", c.learning_rate.lr, 0, 100);
  table.Real("learning_rate.lr_min", c.learning_rate.lr_min, 0, 100);
  table.Integer("learning_rate.warmup", c.learning_rate.warmup, 0, kMany);
  table.Integer("learning_rate.cooldown_epochs", c.learning_rate.cooldown_epochs, 0, 1'000'000);
  table.Real("learning_rate.cooldown_power", c.learning_rate.cooldown_power, 1e-6, 100);
  table.Real("learning_rate.cooldown_end", c.learning_rate.cooldown_end, 0, 100);

  table.Integer("pipeline.threads", c.pipeline.threads, 1, kMostThreads);
  table.Integer("pipeline.io_threads", c.pipeline.io_threads, 1, kMostThreads);
  table.Integer("pipeline.prefetch", c.pipeline.prefetch, 1, 4096);
  table.Integer("pipeline.memory", c.pipeline.memory_bytes, 0, std::int64_t{1} << 46);
  table.Integer("pipeline.read_ahead", c.pipeline.read_ahead_bytes, -1, std::int64_t{1} << 46);
  table.Integer("pipeline.max_pixels", c.pipeline.decode.max_pixels, 1, std::int64_t{1} << 31);
  table.TextList("pipeline.formats", c.formats);
  table.Flag("pipeline.exif_rotate", c.pipeline.decode.exif_rotate);
  table.Choice("pipeline.pixels", c.pixels, {"exact", "fast"});
  table.Integer("pipeline.max_skips_in_a_row", c.pipeline.max_skips_in_a_row, 1, 1 << 30);
  table.Real("pipeline.scale_min", c.pipeline.augment.scale_min, 0.001, 1);
  table.Real("pipeline.scale_max", c.pipeline.augment.scale_max, 0.001, 1);
  table.Real("pipeline.ratio_min", c.pipeline.augment.ratio_min, 0.01, 100);
  table.Real("pipeline.ratio_max", c.pipeline.augment.ratio_max, 0.01, 100);

  table.Integer("comm.join_timeout", c.comm.join_timeout, 1, 1'000'000);
  table.Integer("comm.timeout", c.comm.timeout, 1, 1'000'000);
  table.Integer("comm.patience", c.comm.patience, 1, 10'000'000);

  table.Integer("eval.every_epochs", c.eval.every_epochs, 0, 1'000'000);
  table.Integer("eval.batch_size", c.eval.batch_size, 1, 1 << 20);
  table.Text("eval.zeroshot", c.eval.zeroshot);
  table.Text("eval.zeroshot_classes", c.eval.zeroshot_classes);
  table.Text("eval.zeroshot_templates", c.eval.zeroshot_templates);
  table.Text("eval.zeroshot_label_key", c.eval.zeroshot_label_key);
  table.Integer("eval.zeroshot_every_epochs", c.eval.zeroshot_every_epochs, 0, 1'000'000);

  table.Integer("checkpoint.every_steps", c.checkpoint.every_steps, 0, kMany);
  table.Integer("checkpoint.every_epochs", c.checkpoint.every_epochs, 0, 1'000'000);
  table.Integer("checkpoint.keep", c.checkpoint.keep, 2, 1'000'000);
}

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
                           int local_ranks) {
  BindConfig(config_, table_);
  config_.pipeline.ranks_of_host = local_ranks;
  const std::string file = ConfigFileOf(path);
  table_.ReadFile(file);
  MoveRunTo(file);
  for (const std::string& word : overrides) {
    if (!IsUtf8(word)) {
      throw ConfigError(fmt::format(
          "{}: not UTF-8, as the run's config.toml must be; give the file or folder another name, "
          "or a link",
          Printable(word)));
    }
    table_.Override(word);
  }
  table_.CheckRequired(file);
  Check(file, local_ranks);
}

/// RUN/config.toml names the folder where the run was when it started.
void LoadedConfig::MoveRunTo(const std::string& file) {
  const fs::path folder = fs::absolute(file).lexically_normal().parent_path();
  std::error_code absent;
  const bool is_run =
      fs::exists(folder / "starts.jsonl", absent) || fs::exists(folder / "checkpoints", absent);
  if (fs::path(file).filename() != kRunConfig || !is_run) return;
  // Where the same folder is meant under another name, the user's name stays.
  if (fs::equivalent(config_.run, folder, absent)) return;
  if (config_.model.name == config_.run + "/model.toml") config_.model.name = folder / "model.toml";
  config_.run = folder;
}

void LoadedConfig::Check(const std::string& path, int local_ranks) {
  const auto need = [&](const std::string& key, const std::string& value, const char* example) {
    if (value.empty()) {
      throw ConfigError(fmt::format("{}: {} is not set; for example {}", path, key, example));
    }
  };
  need("run", config_.run, "run = \"runs/first\"");
  need("data.train", config_.data.train, "data.train = \"shards/{00000..00099}.tar\"");

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
  try {
    ParseCaptionKeys(config_.data.captions, config_.data.caption_weights);
  } catch (const std::runtime_error& error) {
    throw table_.Error("data.captions", error.what());
  }
  try {
    TableKeysOf(config_);
  } catch (const std::runtime_error& error) {
    throw table_.Error("data.separator", error.what());
  }
  checked("pipeline.formats",
          [&] { config_.pipeline.decode.formats = ParsePictureFormats(config_.formats); });
  config_.pipeline.fast_pixels = config_.pixels == "fast";
  if (config_.gamma.schedule == "advice") {
    config_.gamma.min = AdvisedGammaMin(config_.train.epochs);
  }
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
        fmt::format("objective {} keeps no estimators; leave it empty", config_.objective.name));
  }
  if (const std::string& field = config_.data.index_by; !field.empty()) {
    try {
      CheckKeyField(field);
    } catch (const std::runtime_error& error) {
      throw table_.Error("data.index_by", error.what());
    }
  }

  CheckTemperatureFits();
  // The temperature's own rate would rise to where the model's ends.
  const TemperatureOptions& tau = config_.temperature;
  if (learns_temperature && tau.lr >= 0) {
    const std::string& curve = tau.schedule == "model" ? rate.schedule : tau.schedule;
    if (curve == "cosine") ordered("learning_rate.lr_min", rate.lr_min, "temperature.lr", tau.lr);
    if (curve == "const-cooldown") {
      ordered("learning_rate.cooldown_end", rate.cooldown_end, "temperature.lr", tau.lr);
    }
  }

  if (config_.train.batch_size % config_.train.micro_batches != 0) {
    throw table_.Error("train.micro_batches",
                       fmt::format("{} does not divide train.batch_size = {}",
                                   config_.train.micro_batches, config_.train.batch_size));
  }
  if (config_.train.precision == "amp" && config_.optimizer.name == "lamb" &&
      config_.train.micro_batches > 1) {
    throw table_.Error(
        "train.precision",
        "float16 micro-batches and lamb do not go together: what underflows in a small "
        "part is lost, and lamb divides by the norm of what is left; say \"amp_bf16\", "
        "train.micro_batches = 1 or another optimizer");
  }
  if (!config_.model.pretrained.empty() && !config_.train.init.empty()) {
    throw table_.Error("train.init", "model.pretrained is set too; a run starts from one of them");
  }
  if (config_.train.threads == 0) {
    config_.train.threads = std::clamp(
        static_cast<int>(std::thread::hardware_concurrency()) / local_ranks, 1, kMostThreads);
  }
}

// Pairs of options of which each is good alone.
void LoadedConfig::CheckTemperatureFits() const {
  const std::string& name = config_.objective.name;
  const TemperatureKind kind = TemperatureOf(name);
  if (kind == TemperatureKind::kConstant && config_.temperature.lr > 0) {
    throw table_.Error(
        "temperature.lr",
        fmt::format("{} is the rate of a temperature that is learned, and {} keeps it "
                    "constant; leave it at -1, or choose fastclip_v3",
                    config_.temperature.lr, name));
  }
  if (config_.temperature.from == "weights" && config_.model.pretrained.empty() &&
      config_.train.init.empty()) {
    throw table_.Error("temperature.from",
                       "\"weights\", but the run starts from none: set model.pretrained or "
                       "train.init, or leave it at \"auto\"");
  }
  if (kind == TemperatureKind::kIndividual && config_.temperature.schedule != "const") {
    throw table_.Error(
        "temperature.schedule",
        fmt::format("{} moves each sample's temperature at a constant rate: say "
                    "temperature.schedule = \"const\", and temperature.lr (0.0133 in "
                    "the published recipe)",
                    name));
  }
  if ((name == "sogclr" || name == "isogclr") && config_.gamma.schedule != "constant") {
    throw table_.Error(
        "gamma.schedule",
        fmt::format("{} has a constant gamma: say gamma.schedule = \"constant\"; with "
                    "\"{}\" it is {}",
                    name, config_.gamma.schedule,
                    name == "sogclr" ? "fastclip_v1" : "fastclip_v2"));
  }
}

}  // namespace fastclip
