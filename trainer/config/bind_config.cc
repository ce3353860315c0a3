#include <limits>

#include "pipeline/loader/compute_pool.h"
#include "trainer/base/precision.h"
#include "trainer/config/config.h"
#include "trainer/config/config_keys.h"

namespace fastclip {
namespace {

constexpr std::int64_t kMany = 1'000'000'000'000;
constexpr double kInfinite = std::numeric_limits<double>::max();

}  // namespace

void BindConfig(TrainConfig& c, ConfigTable& table) {
  table.AdviseBy(AdviceOn);
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
  table.Integer("data.window", c.data.window, 0, kMany);
  table.Choice("data.tail", c.data.tail, {"drop", "pad", "carry"});
  MixOptions& mix = c.data.mix;
  table.RealList("data.weights", mix.weights, 0, 1e12);
  table.RealList("data.repeats", mix.repeats, 0, 1e6);
  table.IntegerList("data.counts", mix.counts, 0, kMany);
  table.Integer("data.epoch_samples", mix.epoch_samples, 0, kMany);
  table.Flag("data.resampled", mix.resampled);
  table.IntegerList("data.lanes_per_rank", c.data.lanes_per_rank, 1, 1 << 24);
  table.TextList("data.captions", c.data.captions);
  table.RealList("data.caption_weights", c.data.caption_weights, 0, 1e6);
  table.Text("data.image_key", c.data.image_key);
  table.Text("data.caption_key", c.data.caption_key);
  table.Text("data.separator", c.data.separator);
  table.Choice("data.caption_lines", c.data.caption_lines, {"auto", "split", "whole"});
  table.Flag("data.verify_checksums", c.data.verify_checksums);
  table.Text("data.index_by", c.data.index_by);
  table.Integer("data.max_record_bytes", c.data.max_record_bytes, 1 << 10, std::int64_t{1} << 31);
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
  table.Choice("temperature.schedule", c.temperature.schedule,
               {"cosine", "model", "const", "step_thresh"});
  table.Real("temperature.logit_bias", c.temperature.logit_bias, -1000, 1000);

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

}  // namespace fastclip
