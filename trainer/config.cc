#include "trainer/config.h"

#include <fmt/format.h>

#include <stdexcept>
#include <thread>

namespace fastclip {
namespace {

constexpr std::int64_t kMany = 1'000'000'000'000;
constexpr double kInfinite = std::numeric_limits<double>::max();

}  // namespace

void BindConfig(TrainConfig& c, ConfigTable& table) {
  table.Text("run", c.run);
  table.Flag("resume", c.resume);

  table.Integer("train.epochs", c.train.epochs, 1, 1'000'000);
  table.Integer("train.batch_size", c.train.batch_size, 2, 1 << 24);
  table.Unsigned("train.seed", c.train.seed);
  table.Integer("train.threads", c.train.threads, 0, 4096);
  table.Choice("train.precision", c.train.precision, {"fp32", "fp64"});
  table.Integer("train.micro_batches", c.train.micro_batches, 1, 4096);
  table.Real("train.clip_norm", c.train.clip_norm, 0, kInfinite);
  table.Text("train.init", c.train.init);
  table.Integer("train.log_every", c.train.log_every, 1, kMany);

  table.Text("data.train", c.data.train);
  table.Text("data.val", c.data.val);
  table.Text("data.manifest", c.data.manifest);
  table.Text("data.tokenizer", c.data.tokenizer);
  table.Integer("data.chunk", c.data.chunk, 0, 1 << 20);
  table.Integer("data.lanes", c.data.lanes, 0, 1 << 24);
  table.Integer("data.window", c.data.window, 0, kMany);
  table.Integer("data.max_record_bytes", c.data.max_record_bytes, 1 << 10, std::int64_t{1} << 31);

  table.Text("model.name", c.model.name);
  table.Text("model.pretrained", c.model.pretrained);
  table.Flag("model.trim_text", c.model.trim_text);

  table.Choice("objective.name", c.objective.name, {"fastclip_v1", "fastclip_v3", "openclip"});
  table.Choice("objective.mode", c.objective.mode, {"reference", "exact"}, /*required=*/true);
  table.Real("objective.rho", c.objective.rho, 0, kInfinite);
  table.Real("objective.epsilon", c.objective.epsilon, 0, 1);
  table.Integer("objective.tile", c.objective.tile, 0, 1 << 24);

  table.Choice("gamma.schedule", c.gamma.schedule, {"cosine", "constant"});
  table.Real("gamma.min", c.gamma.min, 1e-6, 1);
  table.Integer("gamma.decay_epochs", c.gamma.decay_epochs, 0, 1'000'000);

  table.Real("temperature.init", c.temperature.init, 0.01, 1);
  table.Real("temperature.lr", c.temperature.lr, -1, kInfinite);
  table.Choice("temperature.schedule", c.temperature.schedule, {"cosine", "const", "step_thresh"});

  table.Choice("optimizer.name", c.optimizer.name, {"adamw"});
  table.Real("optimizer.beta1", c.optimizer.beta1, 0, 0.999999);
  table.Real("optimizer.beta2", c.optimizer.beta2, 0, 0.999999);
  table.Real("optimizer.eps", c.optimizer.eps, 1e-15, 1);
  table.Real("optimizer.weight_decay", c.optimizer.weight_decay, 0, 100);

  table.Choice("learning_rate.schedule", c.learning_rate.schedule, {"cosine", "const"});
  table.Real("learning_rate.lr", c.learning_rate.lr, 0, 100);
  table.Real("learning_rate.lr_min", c.learning_rate.lr_min, 0, 100);
  table.Integer("learning_rate.warmup", c.learning_rate.warmup, 0, kMany);

  table.Integer("pipeline.threads", c.pipeline.threads, 1, 4096);
  table.Integer("pipeline.io_threads", c.pipeline.io_threads, 1, 4096);
  table.Integer("pipeline.prefetch", c.pipeline.prefetch, 1, 4096);
  table.Integer("pipeline.max_pixels", c.pipeline.decode.max_pixels, 1, std::int64_t{1} << 31);
  table.Integer("pipeline.max_skips_in_a_row", c.pipeline.max_skips_in_a_row, 1, 1 << 30);
  table.Real("pipeline.scale_min", c.pipeline.augment.scale_min, 0.001, 1);
  table.Real("pipeline.scale_max", c.pipeline.augment.scale_max, 0.001, 1);
  table.Real("pipeline.ratio_min", c.pipeline.augment.ratio_min, 0.01, 100);
  table.Real("pipeline.ratio_max", c.pipeline.augment.ratio_max, 0.01, 100);

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

LoadedConfig::LoadedConfig(const std::string& path, const std::vector<std::string>& overrides) {
  BindConfig(config_, table_);
  table_.ReadFile(path);
  for (const std::string& word : overrides) table_.Override(word);
  table_.CheckRequired(path);
  Check(path);
}

void LoadedConfig::Check(const std::string& path) {
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
  ordered("learning_rate.lr_min", config_.learning_rate.lr_min, "learning_rate.lr",
          config_.learning_rate.lr);

  const auto checked = [&](const std::string& key, auto&& check) {
    try {
      check();
    } catch (const std::invalid_argument& error) {
      throw table_.Error(key, error.what());
    }
  };
  checked("gamma.schedule", [&] { CheckGamma(config_.gamma); });
  checked("temperature.schedule", [&] { CheckTemperature(config_.temperature); });
  checked("learning_rate.schedule", [&] { CheckLearningRate(config_.learning_rate); });
  checked("objective.name", [&] { MakeObjective(config_.objective); });

  if (config_.train.batch_size % config_.train.micro_batches != 0) {
    throw table_.Error("train.micro_batches", fmt::format("{} does not divide train.batch_size = {}",
                                                          config_.train.micro_batches,
                                                          config_.train.batch_size));
  }
  if (!config_.model.pretrained.empty() && !config_.train.init.empty()) {
    throw table_.Error("train.init", "model.pretrained is set too; a run starts from one of them");
  }
  if (config_.train.threads == 0) {
    config_.train.threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  }
}

}  // namespace fastclip
