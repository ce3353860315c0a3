#include "trainer/config/config_keys.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <ranges>

#include "pipeline/base/nearest.h"
#include "trainer/config/openclip_flags.h"

namespace fastclip {
namespace {

using enum KeyChange;
constexpr bool kPerHost = true;

// clang-format off
constexpr auto kKeys = std::to_array<KeyInfo>({
    {"run", kNothing,
     "Folder of the run: config.toml, metrics.jsonl, tensorboard/, checkpoints/.",
     "logs name output output_dir"},
    {"resume", kNothing,
     "Go on from the newest good checkpoint of that folder, at the very step. `fastclip train "
     "RUN resume=true` takes the run's own config; configs/README.md says what a changed key "
     "means then."},

    {"train.epochs", kNumbers,
     "Passes over the data."},
    {"train.batch_size", kSameSample,
     "Rows of a global batch, over all ranks.",
     "batch global_batch_size batch_size"},
    {"train.seed", kSameSample,
     "Order, crops, caption choice and fresh weights are functions of it."},
    {"train.threads", kRounding,
     "Threads of the towers on each rank; 0: the cores of the host, shared by its ranks, "
     "beside those of [pipeline], which mostly wait. Results are equal to the bit only for "
     "equal numbers.",
     "", kPerHost},
    {"train.device", kRounding,
     "\"cpu\", or \"cuda\": NVIDIA GPUs, one a rank, in the order of the ranks of a host."},
    {"train.precision", kNumbers,
     "\"fp32\"; \"amp_bf16\": bfloat16 in the towers; \"amp\": float16 with a gradient "
     "scaler; \"fp64\" for checks against formulas. Weights, objective and evaluation stay in "
     "float32 under both amp.",
     "amp dtype"},
    {"train.grad_checkpointing", kNothing,
     "Keep only the inputs of transformer blocks and compute them again in the backward pass: "
     "less memory, a third more work, the same numbers."},
    {"train.micro_batches", kNumbers,
     "Number of parts that a batch is split into to save memory, in two passes. The result is "
     "the same, except for ResNets: their batch norm uses the statistics of each part. Must "
     "divide batch_size.",
     "accum_freq"},
    {"train.clip_norm", kNumbers,
     "Global L2 norm that gradients are clipped to; 0: off, as in all published recipes.",
     "grad_clip_norm grad_clip"},
    {"train.init", kStartOnly,
     "Checkpoint or run whose weights, and estimators if the data is the same, start this run."},
    {"train.init_estimators", kStartOnly,
     ".safetensors file whose estimators start this run, of the published code's checkpoint "
     "(u_im, u_tt, …) or of `fastclip estimators export`; their rows are counted by "
     "data.index_by."},
    {"train.log_every", kNothing,
     "Steps between two lines of metrics.jsonl.",
     "log_every_n_steps"},

    {"data.train", kSameSample,
     "Shards to train on: braces, globs, and :: between sources; or a table of image path and "
     "caption (.tsv, .csv, .jsonl, also with .gz); or \"synthetic:N\". A name that exists "
     "means itself; elsewhere \\ before [ ] { } * ? : takes the sign's meaning away.",
     "train_data"},
    {"data.val", kEvaluation,
     "Pairs for retrieval during training; empty: none.",
     "val_data"},
    {"data.manifest", kNothing,
     "File of the manifest of data.train, which has a small file for each shard too; empty: "
     "beside the shards, or in the run folder where that cannot be written."},
    {"data.tokenizer", kSameSample,
     "\"clip\" (set-up's vocabulary), \"clip:VOCABULARY_FILE\" or "
     "\"sentencepiece:MODEL_FILE\"."},
    {"data.chunk", kSameSample,
     "The order of the records (pipeline/README.md): consecutive records that stay together, "
     "number of lanes, records shuffled together; 0: chosen automatically. Fixed for the life "
     "of a run."},
    {"data.lanes", kSameSample, ""},
    {"data.window", kSameSample, ""},
    {"data.tail", kSameSample,
     "What happens to the records that do not fill the last batch of an epoch: \"drop\": they "
     "are left out of this epoch; \"pad\": the batch is filled up with records seen already; "
     "\"carry\": they start the next epoch. Fixed for the life of a run."},
    {"data.weights", kSameSample,
     "How the sources of `train` that :: joins are mixed, a number a source; at most one of: "
     "shares of an epoch's samples ([0.7, 0.3]), how often an epoch takes each record ([1, "
     "2.5]), samples of an epoch. All empty: each record once. No record comes again before "
     "the others of its source have come. Fixed for the life of a run."},
    {"data.repeats", kSameSample, "", "train_data_upsampling_factors"},
    {"data.counts", kSameSample, ""},
    {"data.epoch_samples", kSameSample,
     "Samples of an epoch with weights, repeats or resampled; 0: as many as there are "
     "records, or what the repeats give. With it repeats are OpenCLIP's upsampling factors.",
     "train_num_samples"},
    {"data.resampled", kSameSample,
     "Sample with replacement, as OpenCLIP's --dataset-resampled does: each window draws its "
     "records anew from all of them, and an epoch is only a number of samples. Without it, "
     "each record is used once per epoch.",
     "dataset_resampled"},
    {"data.lanes_per_rank", kRounding,
     "Lanes of each rank, for ranks of unlike speed: [5, 2, 3, 1] for four ranks and 11 "
     "lanes; empty: even. A rank reads its lanes alone and keeps their estimators; gradients "
     "are exact for any cut."},
    {"data.captions", kNumbers,
     "Where a training record has its captions: \"txt\", or \"json.NAME\" (\"json.A.B\": B in "
     "A), a text or a list of texts, of a tar shard's .json. Each epoch takes one of those "
     "that a record has, by weight (none: all alike; a list shares its weight). Empty: all of "
     "json.captions, else txt, else json.caption."},
    {"data.caption_weights", kNumbers, ""},
    {"data.image_key", kNumbers,
     "Names of the table columns (of a .jsonl: fields) that hold the image path and the "
     "caption, for train, val and zeroshot; empty: the usual names are tried: filepath, "
     "image, path, file_name, …, and caption, title, text.",
     "csv_img_key"},
    {"data.caption_key", kNumbers, "", "csv_caption_key"},
    {"data.separator", kNumbers,
     "Sign between the fields of a .csv or .tsv, as in \";\", or \"tab\"; empty: as the first "
     "line shows.",
     "csv_separator"},
    {"data.caption_lines", kNumbers,
     "What a .txt of several lines is: one caption (\"whole\"), or one a line (\"split\"), as "
     "in CLIP_benchmark's retrieval sets. \"auto\": whole for `train`, as in OpenCLIP; split "
     "for `val`, as in CLIP_benchmark."},
    {"data.verify_checksums", kNumbers,
     "Compare each training record with the checksum that `fastclip shards index --checksum` "
     "took: what changed since is skipped and counted."},
    {"data.index_by", kStartOnly,
     "Field of the training records' .json with the integers by which other programs know "
     "them, as img2dataset's \"json.key\": for train.init_estimators and `fastclip "
     "estimators`; the order does not depend on it. Empty: the place in the list."},
    {"data.max_record_bytes", kNumbers,
     "Bytes that a record may have; more is skipped and counted."},
    {"data.max_skips_per_mille", kNothing,
     "Records skipped, of a thousand tried, that end the run: the data is not what you think. "
     "They are named in RUN/quarantine.jsonl; `fastclip shards lint` finds all."},

    {"model.name", kSameSample,
     "A preset of configs/models (tiny, ViT-B-32, ViT-B-16, ViT-L-14, RN50, RN101, RN50x4; "
     "for weights of OpenAI's ViT-B-32-quickgelu and so on) or a model file like them.",
     "model"},
    {"model.pretrained", kStartOnly,
     "Weights to start from: a .safetensors file with OpenCLIP's tensor names; empty: random "
     "initialization. If a checkpoint.json or open_clip_config.json lies next to it, its "
     "activation, heads and vocabulary are compared with the model's."},
    {"model.trim_text", kRounding,
     "Compute text up to the longest caption of a batch, rounded up to 8, instead of the "
     "whole context: the same result, faster."},
    {"model.patch_dropout", kNumbers,
     "Share of a picture's patches that a ViT does not see in training, 0 to 0.999: others "
     "each epoch, and faster; evaluation sees all. The papers use 0.5 to 0.75 for large "
     "models and end with some epochs of 0.",
     "force_patch_dropout"},
    {"model.sync_batch_norm", kNumbers,
     "A ResNet in training normalises over the rows of all ranks, weighted by their numbers: "
     "the same step for any number of ranks. false: each rank by its own rows, as the "
     "published code does; fewer messages.",
     "use_bn_sync"},
    {"model.lock_image", kSameState,
     "Keep the weights of the image tower (LiT), but for its last n groups: projection, last "
     "block, block before it, …, embeddings (layers + 2 in all; a ResNet is locked as a "
     "whole). Locked weights take no gradient and no optimizer state; checkpoints hold them "
     "as ever."},
    {"model.lock_image_unlocked_groups", kSameState, ""},
    {"model.lock_image_freeze_bn_stats", kNumbers,
     "A locked ResNet normalises by its running statistics, which stay; false: they follow "
     "the data."},
    {"model.lock_text", kSameState,
     "The same for the text tower. Its norms are locked like other weights: false is refused."},
    {"model.lock_text_unlocked_layers", kSameState, ""},
    {"model.lock_text_freeze_layer_norm", kNumbers, ""},

    {"objective.name", kSameSample,
     "fastclip_v0, fastclip_v1, fastclip_v2, fastclip_v3, sogclr, isogclr, openclip or "
     "siglip: which to take for what is in configs/README.md.",
     "loss loss_type siglip"},
    {"objective.mode", kSameSample,
     "\"exact\": the paper's gradients. \"reference\": those of the published code, with "
     "which its rho was tuned. No default: the choice is yours."},
    {"objective.rho", kNumbers,
     "v2, v3, isogclr: how far the weights of the negatives may be from uniform (a KL "
     "divergence). Above ln(batch_size - 1) the temperature falls towards 0.01 while gamma is "
     "1; the start warns of it. (v3's published 6.5, 8.5 and 16 belong to \"reference\", "
     "where the contrastive part counts twice and this limit does not hold.)"},
    {"objective.epsilon", kNumbers,
     "Added to the estimators u; larger damps pairs that are already far apart."},
    {"objective.tile", kRounding,
     "Columns of the similarity matrix worked on at once; 0: by rule. It bounds memory, not "
     "the result."},

    {"gamma.schedule", kNumbers,
     "Rate with which the estimators follow the batch: \"cosine\" falls from start to min, "
     "\"constant\" is min after the first epoch (SogCLR, iSogCLR), \"advice\" falls over the "
     "whole run to min(1, 4.177 epochs^-0.7265), and min is set to that whatever stands here.",
     "gamma_schedule"},
    {"gamma.start", kNumbers,
     "The rate of the first epoch. 1: the estimators begin with what it gives, whatever they "
     "were; lower for a run that takes them from another (train.init, train.init_estimators)."},
    {"gamma.min", kNumbers,
     "The smallest rate. Short runs want it near 1, long ones 0.2.",
     "gamma"},
    {"gamma.decay_epochs", kNumbers,
     "Epochs until min is reached; 0: half of the run. \"advice\" wants 0.",
     "gamma_decay_epochs"},

    {"temperature.init", kStartOnly,
     "The temperature tau at the start, 0.01 to 1; with a temperature a sample that of "
     "samples never seen.",
     "temperature tau"},
    {"temperature.from", kStartOnly,
     "Whose temperature (and bias) is used when a run starts from weights (model.pretrained, "
     "train.init): \"config\": init; \"weights\": that of the weights; \"auto\": that of the "
     "weights if the objective learns the temperature, as in OpenCLIP, otherwise init. "
     "RUN/config.toml shows the value that was used."},
    {"temperature.lr", kNumbers,
     "Learning rate of ln(1/tau); -1: the model's.",
     "lr_tau"},
    {"temperature.schedule", kNumbers,
     "\"cosine\" (with the model's warm-up and lr_min, whatever the model's schedule is), "
     "\"model\" (the model's schedule), \"const\", or \"step_thresh\" (a third while tau <= "
     "0.03). With a temperature a sample (fastclip_v2, isogclr) it is \"const\", and lr is "
     "that of tau itself (0.0133 as published).",
     "lr_tau_scheduler"},
    {"temperature.logit_bias", kStartOnly,
     "siglip: the bias of its logits at the start.",
     "init_logit_bias"},

    {"optimizer.name", kSameState,
     "\"adamw\"; \"lamb\", whose steps are in proportion to each matrix's norm; \"lion\", "
     "which steps by sign; \"sgdm\", momentum alone.",
     "opt optimizer"},
    {"optimizer.beta1", kNumbers,
     "Shares that the averages keep each step: of the gradient and its square; lion: of the "
     "average that it steps along and of the one it stores (0.99 in its paper)."},
    {"optimizer.beta2", kNumbers, ""},
    {"optimizer.eps", kNumbers,
     "adamw, lamb: added to the root of the squared average."},
    {"optimizer.weight_decay", kNumbers,
     "Norms, biases and the temperature have none. Decoupled for adamw and lion, inside the "
     "scaled step for lamb, added to the gradient for sgdm, which wants it a thousand times "
     "smaller.",
     "wd"},
    {"optimizer.momentum", kNumbers,
     "sgdm: share of the last direction that is kept (the temperature keeps none), and "
     "Nesterov's form."},
    {"optimizer.nesterov", kNumbers, ""},

    {"learning_rate.schedule", kNumbers,
     "\"cosine\": from lr down to lr_min at the end. \"const\": lr. \"const-cooldown\": lr, "
     "then down to cooldown_end over the last cooldown_epochs.",
     "lr_scheduler scheduler skip_scheduler"},
    {"learning_rate.lr", kNumbers, "", "lr learning_rate"},
    {"learning_rate.lr_min", kNumbers, "", "min_lr"},
    {"learning_rate.warmup", kNumbers,
     "Steps in which the rate rises to lr.",
     "warmup_steps"},
    {"learning_rate.cooldown_epochs", kNumbers,
     "const-cooldown: how many of the last epochs (1 or more), the fall's power (1: a line; "
     "more: early, then flat), and the rate at the end.",
     "epochs_cooldown"},
    {"learning_rate.cooldown_power", kNumbers, "", "lr_cooldown_power"},
    {"learning_rate.cooldown_end", kNumbers, "", "lr_cooldown_end"},

    {"pipeline.threads", kNothing,
     "Threads that decode and tokenize, threads that read. The batches do not depend on them.",
     "workers num_workers", kPerHost},
    {"pipeline.io_threads", kNothing, "", "", kPerHost},
    {"pipeline.prefetch", kNothing,
     "Batches made ahead, at most.",
     "prefetch_factor", kPerHost},
    {"pipeline.memory", kNothing,
     "Bytes that a rank's batches, records and decoders may take together; fewer batches are "
     "then made ahead. 0: what prefetch needs, and 256 MiB. Batches do not depend on it.",
     "", kPerHost},
    {"pipeline.read_ahead", kNothing,
     "Bytes of the machine's cache of files that may be filled ahead, a window of the order "
     "before it is needed: whole chunks in large requests. 0: none; -1: half of the memory "
     "that is free at the start. Batches do not depend on it.",
     "", kPerHost},
    {"pipeline.max_pixels", kNumbers,
     "Pictures with more pixels are skipped and counted."},
    {"pipeline.formats", kNumbers,
     "Pictures that are read; \"gif\" and \"bmp\" where asked for (pipeline/pixels/decode.md: "
     "what becomes of every kind)."},
    {"pipeline.exif_rotate", kNumbers,
     "Turn pictures as their EXIF says; false: as they lie in the file, like OpenCLIP."},
    {"pipeline.pixels", kNumbers,
     "\"exact\": Pillow's bytes; \"fast\": training decodes large JPEGs at 1/2, 1/4 or 1/8 of "
     "their size."},
    {"pipeline.max_skips_in_a_row", kNothing,
     "Unusable records in a row that end the run: the data is not what you think."},
    {"pipeline.scale_min", kNumbers,
     "Share of the picture that a training crop covers, and its width/height.",
     "aug_cfg"},
    {"pipeline.scale_max", kNumbers, ""},
    {"pipeline.ratio_min", kNumbers, ""},
    {"pipeline.ratio_max", kNumbers, ""},

    {"comm.join_timeout", kNothing,
     "Seconds that ranks wait for each other: until all have joined; in a collective of a "
     "step; while they open data, evaluate or save. Then all name the one that did not come, "
     "and end.",
     "", kPerHost},
    {"comm.timeout", kNothing, "", "", kPerHost},
    {"comm.patience", kNothing, "", "", kPerHost},

    {"eval.every_epochs", kEvaluation,
     "Epochs between two retrievals over data.val; 0: never.",
     "val_frequency"},
    {"eval.batch_size", kRounding,
     "Pictures a batch."},
    {"eval.zeroshot", kEvaluation,
     "Labelled pictures for zero-shot classification during training, a list as data.train, "
     "or a folder of classes (a folder for each class, as torchvision's ImageFolder); empty: "
     "none.",
     "imagenet_val"},
    {"eval.zeroshot_classes", kEvaluation,
     "Class names, one a line, the first of label 0; or \"imagenet\", which set-up fetched. "
     "Empty: the names of a folder of classes. Equal names stay classes of their own. A label "
     "that is a name is looked up here; capitals, \"_\" and \"-\" may differ. A label of no "
     "class is counted and named."},
    {"eval.zeroshot_templates", kEvaluation,
     "Templates, one a line, with {} or {c} where the name goes; or \"openai\" (80), "
     "\"simple\" (7)."},
    {"eval.zeroshot_label_key", kEvaluation,
     "Where a picture's label is: empty: the member .cls, the column \"label\"; "
     "\"json.NAME\": a field of the member .json; else a table's column."},
    {"eval.zeroshot_every_epochs", kEvaluation,
     "Epochs between two classifications; 0: never.",
     "zeroshot_frequency"},

    {"checkpoint.every_steps", kNothing,
     "Steps between two checkpoints (0: none by steps), and epochs. The end and Ctrl-C save "
     "always."},
    {"checkpoint.every_epochs", kNothing, "", "save_frequency"},
    {"checkpoint.keep", kNothing,
     "How many are kept, 2 or more.",
     "save_most_recent delete_previous_checkpoint"},
});
// clang-format on

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

std::string_view TextOf(const KeyInfo& key) {
  const KeyInfo* explained = FindKey(key.name);
  while (explained != kKeys.data() && explained->text.empty()) --explained;
  return explained->text;
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

std::string AdviceOn(std::string_view unknown) {
  if (const std::string key = KeyMeantBy(unknown); !key.empty()) return DidYouMean(key);
  std::string flag = Plain(unknown);
  const std::string_view why = WithoutCounterpart(flag);
  std::ranges::replace(flag, '_', '-');
  return why.empty() ? "" : fmt::format("OpenCLIP's --{} has no counterpart: {}", flag, why);
}

}  // namespace fastclip
