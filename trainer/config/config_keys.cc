#include "trainer/config/config_keys.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <ranges>

namespace fastclip {
namespace {

using enum KeyChange;
constexpr bool kPerHost = true;

constexpr auto kKeys = std::to_array<KeyInfo>({
    {"run", kNothing, false, "logs name output output_dir"},
    {"resume", kNothing},

    {"train.epochs", kNumbers},
    {"train.batch_size", kSameSample, false, "batch global_batch_size"},
    {"train.seed", kSameSample},
    {"train.threads", kRounding, kPerHost},
    {"train.device", kRounding},
    {"train.precision", kNumbers, false, "amp dtype"},
    {"train.grad_checkpointing", kNothing},
    {"train.micro_batches", kNumbers, false, "accum_freq"},
    {"train.clip_norm", kNumbers, false, "grad_clip_norm grad_clip"},
    {"train.init", kStartOnly},
    {"train.init_estimators", kStartOnly},
    {"train.log_every", kNothing, false, "log_every_n_steps"},

    {"data.train", kSameSample, false, "train_data"},
    {"data.val", kEvaluation, false, "val_data"},
    {"data.manifest", kNothing},
    {"data.tokenizer", kSameSample},
    {"data.chunk", kSameSample},
    {"data.lanes", kSameSample},
    {"data.lanes_per_rank", kRounding},
    {"data.window", kSameSample},
    {"data.tail", kSameSample},
    {"data.weights", kSameSample},
    {"data.repeats", kSameSample, false, "train_data_upsampling_factors"},
    {"data.counts", kSameSample},
    {"data.epoch_samples", kSameSample, false, "train_num_samples"},
    {"data.resampled", kSameSample, false, "dataset_resampled"},
    {"data.max_record_bytes", kNumbers},
    {"data.verify_checksums", kNumbers},
    {"data.index_by", kStartOnly},
    {"data.captions", kNumbers},
    {"data.caption_weights", kNumbers},
    {"data.caption_lines", kNumbers},
    {"data.image_key", kNumbers, false, "csv_img_key"},
    {"data.caption_key", kNumbers, false, "csv_caption_key"},
    {"data.separator", kNumbers, false, "csv_separator"},
    {"data.max_skips_per_mille", kNothing},

    {"model.name", kSameSample, false, "model"},
    {"model.pretrained", kStartOnly},
    {"model.trim_text", kRounding},
    {"model.patch_dropout", kNumbers, false, "force_patch_dropout"},
    {"model.sync_batch_norm", kNumbers, false, "use_bn_sync"},
    {"model.lock_image", kSameState},
    {"model.lock_image_unlocked_groups", kSameState},
    {"model.lock_image_freeze_bn_stats", kNumbers},
    {"model.lock_text", kSameState},
    {"model.lock_text_unlocked_layers", kSameState},
    {"model.lock_text_freeze_layer_norm", kNumbers},

    {"objective.name", kSameSample, false, "loss loss_type"},
    {"objective.mode", kSameSample},
    {"objective.rho", kNumbers},
    {"objective.epsilon", kNumbers},
    {"objective.tile", kRounding},

    {"gamma.schedule", kNumbers, false, "gamma_schedule"},
    {"gamma.start", kNumbers},
    {"gamma.min", kNumbers, false, "gamma"},
    {"gamma.decay_epochs", kNumbers, false, "gamma_decay_epochs"},

    {"temperature.init", kStartOnly, false, "temperature tau"},
    {"temperature.from", kStartOnly},
    {"temperature.lr", kNumbers, false, "lr_tau"},
    {"temperature.logit_bias", kStartOnly, false, "init_logit_bias"},
    {"temperature.schedule", kNumbers, false, "lr_tau_scheduler"},

    {"optimizer.name", kSameState, false, "opt optimizer"},
    {"optimizer.beta1", kNumbers},
    {"optimizer.beta2", kNumbers},
    {"optimizer.eps", kNumbers},
    {"optimizer.weight_decay", kNumbers, false, "wd"},
    {"optimizer.momentum", kNumbers},
    {"optimizer.nesterov", kNumbers},

    {"learning_rate.schedule", kNumbers, false, "lr_scheduler scheduler"},
    {"learning_rate.lr", kNumbers, false, "lr learning_rate"},
    {"learning_rate.lr_min", kNumbers, false, "min_lr"},
    {"learning_rate.warmup", kNumbers, false, "warmup_steps"},
    {"learning_rate.cooldown_epochs", kNumbers, false, "epochs_cooldown"},
    {"learning_rate.cooldown_power", kNumbers, false, "lr_cooldown_power"},
    {"learning_rate.cooldown_end", kNumbers, false, "lr_cooldown_end"},

    {"pipeline.threads", kNothing, kPerHost, "workers num_workers"},
    {"pipeline.io_threads", kNothing, kPerHost},
    {"pipeline.prefetch", kNothing, kPerHost, "prefetch_factor"},
    {"pipeline.memory", kNothing, kPerHost},
    {"pipeline.read_ahead", kNothing, kPerHost},
    {"pipeline.max_pixels", kNumbers},
    {"pipeline.formats", kNumbers},
    {"pipeline.exif_rotate", kNumbers},
    {"pipeline.pixels", kNumbers},
    {"pipeline.max_skips_in_a_row", kNothing},
    {"pipeline.scale_min", kNumbers},
    {"pipeline.scale_max", kNumbers},
    {"pipeline.ratio_min", kNumbers},
    {"pipeline.ratio_max", kNumbers},

    {"comm.join_timeout", kNothing, kPerHost},
    {"comm.timeout", kNothing, kPerHost},
    {"comm.patience", kNothing, kPerHost},

    {"eval.every_epochs", kEvaluation, false, "val_frequency"},
    {"eval.batch_size", kRounding},
    {"eval.zeroshot", kEvaluation, false, "imagenet_val imagenet_v2"},
    {"eval.zeroshot_classes", kEvaluation},
    {"eval.zeroshot_templates", kEvaluation},
    {"eval.zeroshot_label_key", kEvaluation},
    {"eval.zeroshot_every_epochs", kEvaluation, false, "zeroshot_frequency"},

    {"checkpoint.every_steps", kNothing},
    {"checkpoint.every_epochs", kNothing, false, "save_frequency"},
    {"checkpoint.keep", kNothing},
});

std::string_view LastWord(std::string_view key) { return key.substr(key.rfind('.') + 1); }

/// As OpenCLIP's options become names: "--Batch-Size" is batch_size.
std::string Plain(std::string_view key) {
  key.remove_prefix(std::min(key.find_first_not_of('-'), key.size()));
  std::string word(LastWord(key));
  for (char& c : word) {
    c = c == '-' ? '_' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return word;
}

bool HasOtherName(const KeyInfo& key, std::string_view word) {
  return std::ranges::any_of(std::views::split(key.other_names, ' '), [&](auto name) {
    return std::string_view(name.begin(), name.end()) == word;
  });
}

}  // namespace

std::span<const KeyInfo> ConfigKeys() { return kKeys; }

const KeyInfo* FindKey(std::string_view name) {
  const auto found = std::ranges::find(kKeys, name, &KeyInfo::name);
  return found == kKeys.end() ? nullptr : &*found;
}

std::string_view DescribeChange(KeyChange change) {
  switch (change) {
    case kNothing:
      return "changes no result";
    case kRounding:
      return "changes rounding";
    case kEvaluation:
      return "changes evaluations";
    case kNumbers:
      return "changes results";
    case kStartOnly:
      return "used only when a run starts; ignored";
    case kSameSample:
      return "the same in effect";
    case kSameState:
      return "refused";
  }
  return "";
}

std::string KeyMeantBy(std::string_view unknown) {
  const std::string word = Plain(unknown);
  if (word.empty()) return "";
  for (const KeyInfo& key : kKeys) {
    if (HasOtherName(key, word)) return std::string(key.name);
  }
  const KeyInfo* meant = nullptr;
  for (const KeyInfo& key : kKeys) {
    if (LastWord(key.name) != word) continue;
    if (meant != nullptr) return "";  // of two, neither is a better guess
    meant = &key;
  }
  return meant == nullptr ? "" : std::string(meant->name);
}

}  // namespace fastclip
