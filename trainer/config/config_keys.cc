#include "trainer/config/config_keys.h"

#include <algorithm>
#include <array>
#include <limits>
#include <string>

#include "pipeline/base/nearest.h"
#include "pipeline/loader/compute_pool.h"
#include "trainer/base/kernels.h"
#include "trainer/base/precision.h"
#include "trainer/config/config.h"
#include "trainer/config/key_advice.h"
#include "trainer/model/caption_groups.h"

namespace fastclip {

/// A key, the table that binds it and, by ->, the config that has its field.
class BoundKey {
 public:
  BoundKey(std::string_view name, TrainConfig& config, ConfigTable& table)
      : name_(name), config_(config), table_(table) {}

  TrainConfig* operator->() const { return &config_; }

  using Choices = std::vector<std::string>;
  void Text(std::string& field) const { table_.Text(name_, field); }
  void TextList(Choices& field) const { table_.TextList(name_, field); }
  void Flag(bool& field) const { table_.Flag(name_, field); }
  void Unsigned(std::uint64_t& field) const { table_.Unsigned(name_, field); }
  void Integer(auto& field, std::int64_t least, std::int64_t most) const {
    table_.Integer(name_, field, least, most);
  }
  void IntegerList(std::vector<std::int64_t>& field, std::int64_t least, std::int64_t most) const {
    table_.IntegerList(name_, field, least, most);
  }
  void Real(double& field, double least, double most) const {
    table_.Real(name_, field, least, most);
  }
  void RealList(std::vector<double>& field, double least, double most) const {
    table_.RealList(name_, field, least, most);
  }
  void Choice(std::string& field, Choices choices, bool required = false) const {
    table_.Choice(name_, field, std::move(choices), required);
  }

 private:
  std::string name_;
  TrainConfig& config_;
  ConfigTable& table_;
};

namespace {

using enum KeyChange;
using Key = const BoundKey&;
constexpr bool kPerHost = true;
constexpr std::int64_t kMany = 1'000'000'000'000;
constexpr double kInfinite = std::numeric_limits<double>::max();

// clang-format off
constexpr auto kKeys = std::to_array<KeyInfo>({
    {"run", [](Key k) { k.Text(k->run); }, kNothing,
     "Run folder. It holds config.toml, metrics.jsonl, tensorboard/ and checkpoints/.",
     "logs name output output_dir"},
    {"resume", [](Key k) { k.Flag(k->resume); }, kNothing,
     "Resume from the newest valid checkpoint of the run folder, at the exact step. `fastclip "
     "train RUN resume=true` uses the run's own config. configs/README.md lists which keys can "
     "change."},

    {"train.epochs", [](Key k) { k.Integer(k->train.epochs, 1, 1'000'000); }, kNumbers,
     "Number of epochs."},
    {"train.batch_size", [](Key k) { k.Integer(k->train.batch_size, 2, 1 << 24); }, kSameSample,
     "Global batch size, over all ranks.",
     "batch global_batch_size batch_size"},
    {"train.seed", [](Key k) { k.Unsigned(k->train.seed); }, kSameSample,
     "Random seed for the sample order, crops, caption choice and weight initialization."},
    {"train.threads", [](Key k) { k.Integer(k->train.threads, 0, kMostThreads); }, kRounding,
     "CPU threads per rank for the model. 0: the host's cores divided by its ranks, on a GPU a "
     "quarter of that, at most 4. The threads of [pipeline] are extra; on the CPU they mostly "
     "wait. Results are bit-identical only for the same number of threads. RUN/config.toml keeps 0; "
     "a resume with another number says so.",
     "", kPerHost},
    {"train.device", [](Key k) { k.Choice(k->train.device, {"auto", "cpu", "cuda"}); }, kRounding,
     "\"cuda\": NVIDIA, one GPU per rank, assigned in the order of the host's ranks; \"cpu\"; "
     "\"auto\": cuda if the program was built with it, the driver answers and a GPU is visible, "
     "else cpu; the start says which and why. RUN/config.toml keeps \"auto\"; a resume on "
     "another device says so."},
    {"train.pin_to_gpu_node", [](Key k) { k.Flag(k->train.pin_to_gpu_node); }, kNothing,
     "GPU, on hosts with several NUMA nodes: a rank and its loader run on the cores of the node of "
     "its GPU. false: on all cores.",
     "", kPerHost},
    {"train.precision", [](Key k) { k.Choice(k->train.precision, PrecisionNames()); }, kNumbers,
     "\"fp32\"; \"amp_bf16\": the towers run in bfloat16; \"amp\": the towers run in float16 "
     "with a gradient scaler; \"fp64\": for numerical checks. Both amp modes keep weights, "
     "objective and evaluation in float32.",
     "amp dtype"},
    {"train.residual", [](Key k) { k.Choice(k->train.residual, ResidualNames()); }, kNumbers,
     "With amp or amp_bf16: type of the transformers' residual streams. \"auto\": float32 for text "
     "and the lower precision for images, as in OpenCLIP; \"fp32\": float32 for both, the most "
     "exact; \"half\": the lower precision for both, the least memory."},
    {"train.grad_checkpointing", [](Key k) { k.Flag(k->train.grad_checkpointing); }, kNothing,
     "Keep only the inputs of transformer blocks and recompute the rest in the backward pass. "
     "Uses less memory, but a third more compute; results are bit-identical."},
    {"train.micro_batches", [](Key k) { k.Integer(k->train.micro_batches, 1, 4096); }, kNumbers,
     "Split each batch into this many micro-batches to save memory, like OpenCLIP's --accum-freq "
     "(two forward passes). Must divide batch_size. The result is the same, except for ResNets: "
     "their batch norm uses the statistics of each micro-batch.",
     "accum_freq"},
    {"train.length_groups",
     [](Key k) { k.Integer(k->train.length_groups, 0, kMostLengthGroups); },
     kRounding,
     "Compute captions in up to this many groups by length, each trimmed to its own longest "
     "caption. Same result, faster, above all for large batches. 0: automatic; 1: no groups. "
     "Needs model.trim_text; evaluation uses it too."},
    {"train.clip_norm", [](Key k) { k.Real(k->train.clip_norm, 0, kInfinite); }, kNumbers,
     "Clip gradients to this global L2 norm. 0: off, as in all published recipes.",
     "grad_clip_norm grad_clip"},
    {"train.init", [](Key k) { k.Text(k->train.init); }, kStartOnly,
     "Checkpoint or run to start from. Its weights are loaded, and its estimators too if data "
     "and objective are the same."},
    {"train.init_estimators", [](Key k) { k.Text(k->train.init_estimators); }, kStartOnly,
     ".safetensors file of estimators to start from: from the published code's checkpoint (u_im, "
     "u_tt, …) or from `fastclip estimators export`. data.index_by says which record each row "
     "belongs to."},
    {"train.tf32", [](Key k) { k.Flag(k->train.kernels.tf32); }, kRounding,
     "GPU: float32 matrix products and convolutions use TF32, as in OpenCLIP. Much faster, with 10 "
     "bits of mantissa."},
    {"train.cudnn_benchmark", [](Key k) { k.Flag(k->train.kernels.cudnn_benchmark); }, kRounding,
     "GPU: cuDNN tries its convolutions once per shape and takes the fastest, as in OpenCLIP."},
    {"train.attention", [](Key k) { k.Choice(k->train.kernels.attention, AttentionNames()); },
     kRounding,
     "Kernel for attention: \"flash\", \"mem_efficient\", \"cudnn\", \"math\", or \"auto\" "
     "(LibTorch chooses). On the CPU only auto, flash and math."},
    {"train.channels_last", [](Key k) { k.Flag(k->train.channels_last); }, kRounding,
     "Feed the image tower pixels in channels-last order (NHWC), as they are decoded: makes "
     "convolutions on a GPU faster. false: plane by plane (NCHW), as in OpenCLIP, which costs a "
     "copy of the images."},
    {"train.cuda_graphs", [](Key k) { k.Flag(k->train.cuda_graphs); }, kRounding,
     "GPU: record the work of a training step once, as a CUDA graph, and repeat it: one launch per "
     "step instead of over a thousand. Faster for small batches. The graph keeps its memory, so an "
     "evaluation needs extra memory. For one rank, with model.trim_text = false and the state in "
     "GPU memory, without dropout."},
    {"train.state", [](Key k) { k.Choice(k->train.state, {"auto", "device", "host"}); }, kNothing,
     "Where a GPU run keeps the per-sample state, such as the estimators. \"device\": in GPU memory; "
     "\"host\": in host memory, which costs a wait per step; \"auto\": in GPU memory if a rank's "
     "state takes at most 2 GiB."},
    {"train.log_every", [](Key k) { k.Integer(k->train.log_every, 1, kMany); }, kNothing,
     "Write a line to metrics.jsonl every this many steps.",
     "log_every_n_steps"},

    {"data.train", [](Key k) { k.Text(k->data.train); }, kSameSample,
     "Training data: tar shards (braces and globs work; :: separates sources), or a table of "
     "image paths and captions (.tsv, .csv, .jsonl, also .gz), or \"synthetic:N\". An existing "
     "file name is taken literally; otherwise \\ escapes [ ] { } * ? :. If the files of a run move "
     "to another folder, resume with the new path; their names must stay. Hosts can have the same "
     "data under other paths: give each rank its own, on resume too; RUN/config.toml has rank 0's.",
     "train_data", kPerHost},
    {"data.val", [](Key k) { k.Text(k->data.val); }, kEvaluation,
     "Image-text pairs for retrieval evaluation during training. Empty: none.",
     "val_data", kPerHost},
    {"data.manifest", [](Key k) { k.Text(k->data.manifest); }, kNothing,
     "Path of the manifest (index) of data.train; the index file of each shard goes into the "
     "folder MANIFEST.places. Empty: all next to the shards, or in the run folder if that is not "
     "writable. Ranks with data under other paths need a manifest each.",
     "", kPerHost},
    {"data.tokenizer", [](Key k) { k.Text(k->data.tokenizer); }, kSameSample,
     "\"clip\" (vocabulary installed by tools/setup.sh), \"clip:VOCABULARY_FILE\" or "
     "\"sentencepiece:MODEL_FILE\"."},
    {"data.chunk", [](Key k) { k.Integer(k->data.chunk, 0, 1 << 20); }, kSameSample,
     "Shuffling (see pipeline/README.md). chunk: number of consecutive records that stay "
     "together; lanes: number of parts of the data that are shuffled separately; window: number "
     "of records that a lane shuffles at a time. 0: automatic. Cannot change during a run."},
    {"data.lanes", [](Key k) { k.Integer(k->data.lanes, 0, 1 << 24); }, kSameSample, ""},
    {"data.window", [](Key k) { k.Integer(k->data.window, 0, kMany); }, kSameSample, ""},
    {"data.tail", [](Key k) { k.Choice(k->data.tail, {"drop", "pad", "carry"}); }, kSameSample,
     "What happens to records that do not fill the last batch of an epoch. \"drop\": they are "
     "skipped in this epoch; \"pad\": the batch is filled with records already seen; \"carry\": "
     "they start the next epoch. Cannot change during a run."},
    {"data.weights", [](Key k) { k.RealList(k->data.mix.weights, 0, 1e12); }, kSameSample,
     "How to mix the sources joined by :: in `train`, one number per source. Set at most one: "
     "weights: share of an epoch's samples ([0.7, 0.3]); repeats: times each record is used per "
     "epoch ([1, 2.5]); counts: samples per epoch. All empty: each record once. A record repeats "
     "only after all others of its source were used. Cannot change during a run."},
    {"data.repeats",
     [](Key k) { k.RealList(k->data.mix.repeats, 0, 1e6); },
     kSameSample, "", "train_data_upsampling_factors"},
    {"data.counts", [](Key k) { k.IntegerList(k->data.mix.counts, 0, kMany); }, kSameSample, ""},
    {"data.epoch_samples",
     [](Key k) { k.Integer(k->data.mix.epoch_samples, 0, kMany); },
     kSameSample,
     "Samples per epoch, with weights, repeats or resampled. 0: the number of records, or with "
     "repeats the sum of the repeated records. If set, only the ratios of repeats count, like "
     "OpenCLIP's upsampling factors.",
     "train_num_samples"},
    {"data.resampled", [](Key k) { k.Flag(k->data.mix.resampled); }, kSameSample,
     "Sample with replacement, like OpenCLIP's --dataset-resampled: each window draws from all "
     "records of its lane, so an epoch is only a number of samples. false: each record is used "
     "once per epoch.",
     "dataset_resampled"},
    {"data.lanes_per_rank",
     [](Key k) { k.IntegerList(k->data.lanes_per_rank, 1, 1 << 24); },
     kRounding,
     "Lanes of each rank, for ranks of unequal speed: [5, 2, 3, 1] for four ranks and 11 lanes. "
     "Empty: the same for all. Each rank reads only its own lanes and keeps their estimators. "
     "Gradients are exact for any split."},
    {"data.captions", [](Key k) { k.TextList(k->data.captions); }, kNumbers,
     "Where tar shards keep captions: \"txt\" or \"json.NAME\" (\"json.A.B\": field B in A), a "
     "string or a list of strings in the .json. Each epoch picks one of a record's captions, "
     "with probability proportional to caption_weights (empty: equal; a list shares its weight). "
     "captions empty: all of json.captions, else txt, else json.caption."},
    {"data.caption_weights",
     [](Key k) { k.RealList(k->data.caption_weights, 0, 1e6); },
     kNumbers, ""},
    {"data.image_key", [](Key k) { k.Text(k->data.image_key); }, kNumbers,
     "Table columns (.jsonl: fields) with the image path and the caption, for train, val and "
     "zeroshot. Empty: the usual names are tried: filepath, image, path, file_name, …, and "
     "caption, title, text.",
     "csv_img_key"},
    {"data.caption_key",
     [](Key k) { k.Text(k->data.caption_key); },
     kNumbers, "", "csv_caption_key"},
    {"data.separator", [](Key k) { k.Text(k->data.separator); }, kNumbers,
     "Column separator of .csv and .tsv files, such as \";\" or \"tab\". Empty: detected from "
     "the first line.",
     "csv_separator"},
    {"data.caption_lines",
     [](Key k) { k.Choice(k->data.caption_lines, {"auto", "split", "whole"}); },
     kNumbers,
     "How to read a .txt with several lines. \"whole\": as one caption; \"split\": each line is a "
     "caption; \"auto\": whole for `train`, as in OpenCLIP, and split for `val`, as in "
     "CLIP_benchmark."},
    {"data.verify_checksums", [](Key k) { k.Flag(k->data.verify_checksums); }, kNumbers,
     "Verify each training record against the checksum stored by `fastclip shards index "
     "--checksum`. Changed records are skipped and counted."},
    {"data.index_by", [](Key k) { k.Text(k->data.index_by); }, kStartOnly,
     ".json field with each training record's integer id in other programs, such as "
     "img2dataset's \"json.key\". Used by train.init_estimators and `fastclip estimators`; does "
     "not affect the order. Empty: the record's position in the list."},
    {"data.max_record_bytes",
     [](Key k) { k.Integer(k->data.max_record_bytes, 1 << 10, std::int64_t{1} << 31); },
     kNumbers,
     "Maximum bytes per record. Larger records are skipped and counted."},
    {"data.max_skips_per_mille",
     [](Key k) { k.Real(k->data.max_skips_per_mille, 0, 1000); },
     kNothing,
     "Stop the run when more than this many of 1000 records that were read had to be skipped. "
     "Checked from 1000 reads on; one bad record per epoch is always allowed, unless this is 0. "
     "RUN/quarantine.jsonl lists the skipped records; `fastclip shards lint` finds all bad ones."},

    {"model.name", [](Key k) { k.Text(k->model.name); }, kSameSample,
     "Preset in configs/models (tiny, ViT-B-32, ViT-B-16, ViT-L-14, RN50, RN101, RN50x4; for "
     "OpenAI's weights ViT-B-32-quickgelu and so on), or the path of a model file in the same "
     "format.",
     "model"},
    {"model.pretrained", [](Key k) { k.Text(k->model.pretrained); }, kStartOnly,
     "Weights to start from: a .safetensors file with OpenCLIP's tensor names. Empty: random "
     "initialization. If checkpoint.json or open_clip_config.json lies next to the file, its "
     "activation, heads and vocabulary are checked against the model."},
    {"model.trim_text", [](Key k) { k.Flag(k->model.trim_text); }, kRounding,
     "Compute text only up to the longest caption of the batch, rounded up to a multiple of 8, "
     "instead of the full context length. Same result, faster."},
    {"model.patch_dropout", [](Key k) { k.Real(k->model.patch_dropout, 0, 0.999); }, kNumbers,
     "Fraction of image patches that a ViT drops in training, 0 to 0.999; different patches each "
     "epoch. Training is faster; evaluation uses all patches. The papers use 0.5 to 0.75 for "
     "large models and end with a few epochs at 0.",
     "force_patch_dropout"},
    {"model.sync_batch_norm", [](Key k) { k.Flag(k->model.sync_batch_norm); }, kNumbers,
     "ResNets: compute batch norm statistics over all ranks, weighted by their rows, so that a "
     "step is the same for any number of ranks. false: each rank uses its own rows, as the "
     "published code does; less communication.",
     "use_bn_sync"},
    {"model.lock_image", [](Key k) { k.Flag(k->model.lock.image); }, kSameState,
     "Freeze the image tower (LiT), except its last lock_image_unlocked_groups groups: "
     "projection, last block, block before it, …, embeddings (layers + 2 in total; a ResNet is "
     "frozen as a whole). Frozen weights need no gradient and no optimizer state; checkpoints "
     "still hold them."},
    {"model.lock_image_unlocked_groups",
     [](Key k) { k.Integer(k->model.lock.image_unlocked_groups, 0, kMany); },
     kSameState, ""},
    {"model.lock_image_freeze_bn_stats",
     [](Key k) { k.Flag(k->model.lock.image_freeze_bn_stats); },
     kNumbers,
     "ResNet with lock_image. true: normalize by the running statistics without updating them; "
     "false: they are updated from the data."},
    {"model.lock_text", [](Key k) { k.Flag(k->model.lock.text); }, kSameState,
     "Freeze the text tower, except its last lock_text_unlocked_layers groups. Its norms are "
     "frozen like its other weights; lock_text_freeze_layer_norm = false is an error."},
    {"model.lock_text_unlocked_layers",
     [](Key k) { k.Integer(k->model.lock.text_unlocked_layers, 0, kMany); },
     kSameState, ""},
    {"model.lock_text_freeze_layer_norm",
     [](Key k) { k.Flag(k->model.lock.text_freeze_layer_norm); },
     kNumbers, ""},

    {"adapt.task", [](Key k) { k.Choice(k->adapt.task, {"contrastive", "classify"}); }, kSameState,
     "\"contrastive\": images and captions, with the objective below. \"classify\": a class head on "
     "the image tower learns labels by cross-entropy, with adapt.tuners or, if there are none, alone "
     "(a linear probe); data.train and data.val are then images with labels."},
    {"adapt.classes", [](Key k) { k.Text(k->adapt.classes); }, kSameState,
     "Classes of adapt.task = \"classify\": a file with one name per line, label 0 first, "
     "\"imagenet\", or a number of classes without names; empty: the folder names, if data.train is "
     "a folder of classes."},
    {"adapt.label_key", [](Key k) { k.Text(k->adapt.label_key); }, kSameState,
     "Where labels are: \"json.NAME\" for a field of the .json or of a .jsonl row, or a column name; "
     "empty: the .cls member or a column label."},
    {"adapt.head", [](Key k) { k.Choice(k->adapt.head, {"linear", "zeroshot"}); }, kSameState,
     "\"linear\" starts at zero and reads the image before its projection; \"zeroshot\" starts as "
     "the zero-shot classifier of the class names and reads the projected, normalized image."},
    {"adapt.templates", [](Key k) { k.Text(k->adapt.templates); }, kStartOnly,
     "Prompts of a zero-shot head: a file with one template per line, with {} or {c} for the class "
     "name, or \"openai\" (80 templates) or \"simple\" (7)."},
    {"adapt.tuners", [](Key k) { k.TextList(k->adapt.tuners); }, kSameState,
     "Fine-tune with these tuners, and freeze the rest of the model (fastclip adapt). Each is \"KIND "
     "SITES [NAME=VALUE …]\", as in \"lora image.block.*.{q,v} r=8\"; trainer/adapt/README.md lists "
     "kinds, sites and settings. Start from model.pretrained."},
    {"adapt.logit_scale", [](Key k) { k.Flag(k->adapt.logit_scale); }, kSameState,
     "Also train logit_scale (and siglip's logit_bias)."},
    {"adapt.projections", [](Key k) { k.Flag(k->adapt.projections); }, kSameState,
     "Also train both projections into the common space."},
    {"adapt.exclude", [](Key k) { k.TextList(k->adapt.exclude); }, kStartOnly,
     "s2ft does not choose columns that these adapters train, so that they can be fused with this "
     "one without overlap: adapter folders, checkpoints or runs, of the same base."},
    {"adapt.calibration_batches",
     [](Key k) { k.Integer(k->adapt.calibration_batches, 0, 1'000'000); }, kStartOnly,
     "Batches on which s2ft's select=activation, product or gradient is measured before the first "
     "step. 0: 1% of an epoch's batches, at least one."},

    {"objective.name", [](Key k) { k.Choice(k->objective.name, ObjectiveNames()); }, kSameSample,
     "fastclip_v0, fastclip_v1, fastclip_v2, fastclip_v3, sogclr, isogclr, openclip or siglip. "
     "See configs/README.md for which to use.",
     "loss loss_type siglip"},
    {"objective.mode",
     [](Key k) { k.Choice(k->objective.mode, {"reference", "exact"}, /*required=*/true); },
     kSameSample,
     "\"exact\": the paper's gradients; \"reference\": those of the published code, for which "
     "its rho was tuned. No default: must be set."},
    {"objective.rho", [](Key k) { k.Real(k->objective.rho, 0, kInfinite); }, kNumbers,
     "fastclip_v2, fastclip_v3, isogclr: how far the weights of the negatives can be from "
     "uniform (KL divergence). While gamma is 1, a rho above ln(batch_size - 1) makes the "
     "temperature fall towards 0.01; the run warns at the start. (v3's published 6.5, 8.5 and 16 "
     "are for \"reference\", which counts the contrastive part twice; this limit does not hold "
     "there.)"},
    {"objective.epsilon", [](Key k) { k.Real(k->objective.epsilon, 0, 1); }, kNumbers,
     "Added to the estimators u. A larger value damps pairs that are already far apart."},
    {"objective.tile", [](Key k) { k.Integer(k->objective.tile, 0, 1 << 24); }, kRounding,
     "Columns of the similarity matrix computed at once. 0: automatic. Limits memory, does not "
     "change the result."},

    {"gamma.schedule",
     [](Key k) { k.Choice(k->gamma.schedule, {"cosine", "constant", "advice"}); },
     kNumbers,
     "gamma is the moving average rate of the estimators u: u = (1 - gamma) u + gamma g. "
     "\"cosine\": falls from start to min; \"constant\": min after the first epoch (SogCLR, "
     "iSogCLR); \"advice\": falls over the whole run to min(1, 4.177 epochs^-0.7265), which "
     "replaces the value of min below.",
     "gamma_schedule"},
    {"gamma.start", [](Key k) { k.Real(k->gamma.start, 1e-6, 1); }, kNumbers,
     "gamma of the first epoch. 1: the first epoch replaces the estimators. Use a lower value to "
     "keep the estimators of train.init or train.init_estimators."},
    {"gamma.min", [](Key k) { k.Real(k->gamma.min, 1e-6, 1); }, kNumbers,
     "Smallest gamma. Use about 1 for short runs, 0.2 for long ones.",
     "gamma"},
    {"gamma.decay_epochs", [](Key k) { k.Integer(k->gamma.decay_epochs, 0, 1'000'000); }, kNumbers,
     "Epochs until gamma reaches min. 0: half of the run. Must be 0 with \"advice\".",
     "gamma_decay_epochs"},

    {"temperature.init", [](Key k) { k.Real(k->temperature.init, 0.01, 1); }, kStartOnly,
     "Initial temperature tau, 0.01 to 1. With per-sample temperatures: the value for samples "
     "not seen yet.",
     "temperature tau"},
    {"temperature.from",
     [](Key k) { k.Choice(k->temperature.from, {"auto", "config", "weights"}); },
     kStartOnly,
     "Which initial temperature (and bias) to use if a run starts from weights "
     "(model.pretrained, train.init). \"config\": temperature.init; \"weights\": that of the "
     "weights; \"auto\": that of the weights if the objective learns the temperature, as in "
     "OpenCLIP, otherwise temperature.init. RUN/config.toml shows the value used."},
    {"temperature.lr", [](Key k) { k.Real(k->temperature.lr, -1, kInfinite); }, kNumbers,
     "Learning rate of the temperature, which is trained as ln(1/tau). -1: learning_rate.lr.",
     "lr_tau"},
    {"temperature.schedule",
     [](Key k) { k.Choice(k->temperature.schedule, {"cosine", "model", "const", "step_thresh"}); },
     kNumbers,
     "\"cosine\": with the model's warmup and lr_min, even if the model's schedule differs; "
     "\"model\": the model's schedule; \"const\"; \"step_thresh\": a third of lr while tau <= "
     "0.03. Per-sample temperatures (fastclip_v2, isogclr) need \"const\", and lr is then that "
     "of tau itself (0.0133 as published).",
     "lr_tau_scheduler"},
    {"temperature.logit_bias",
     [](Key k) { k.Real(k->temperature.logit_bias, -1000, 1000); },
     kStartOnly,
     "siglip: initial logit bias.",
     "init_logit_bias"},

    {"optimizer.name", [](Key k) { k.Choice(k->optimizer.name, OptimizerNames()); }, kSameState,
     "\"adamw\"; \"lamb\": AdamW with steps scaled to each matrix's norm; \"lion\": the step is "
     "the sign of a moving average; \"sgdm\": SGD with momentum.",
     "opt optimizer"},
    {"optimizer.beta1", [](Key k) { k.Real(k->optimizer.beta1, 0, 0.999999); }, kNumbers,
     "Decay rates of the moving averages: beta1 for the gradient, beta2 for its square. lion: "
     "beta1 for the direction of the step, beta2 for the stored average (0.99 in its paper)."},
    {"optimizer.beta2", [](Key k) { k.Real(k->optimizer.beta2, 0, 0.999999); }, kNumbers, ""},
    {"optimizer.eps", [](Key k) { k.Real(k->optimizer.eps, 1e-15, 1); }, kNumbers,
     "adamw, lamb: added to the root of the second moment, for numerical stability."},
    {"optimizer.weight_decay", [](Key k) { k.Real(k->optimizer.weight_decay, 0, 100); }, kNumbers,
     "Weight decay. Norms, biases and the temperature have none. adamw, lion: decoupled; lamb: "
     "before the trust ratio; sgdm: L2, added to the gradient (use a value about 1000 times "
     "smaller).",
     "wd"},
    {"optimizer.momentum", [](Key k) { k.Real(k->optimizer.momentum, 0, 0.999999); }, kNumbers,
     "sgdm: momentum factor (the temperature has none)."},
    {"optimizer.nesterov", [](Key k) { k.Flag(k->optimizer.nesterov); }, kNumbers,
     "sgdm: use Nesterov momentum."},

    {"learning_rate.schedule",
     [](Key k) { k.Choice(k->learning_rate.schedule, {"cosine", "const", "const-cooldown"}); },
     kNumbers,
     "\"cosine\": from lr down to lr_min at the end of the run; \"const\": lr throughout; "
     "\"const-cooldown\": lr, then down to cooldown_end over the last cooldown_epochs.",
     "lr_scheduler scheduler skip_scheduler"},
    {"learning_rate.lr",
     [](Key k) { k.Real(k->learning_rate.lr, 0, 100); },
     kNumbers, "", "lr learning_rate"},
    {"learning_rate.lr_min",
     [](Key k) { k.Real(k->learning_rate.lr_min, 0, 100); },
     kNumbers, "", "min_lr"},
    {"learning_rate.warmup", [](Key k) { k.Integer(k->learning_rate.warmup, 0, kMany); }, kNumbers,
     "Warmup steps: the rate rises linearly to lr.",
     "warmup_steps"},
    {"learning_rate.cooldown_epochs",
     [](Key k) { k.Integer(k->learning_rate.cooldown_epochs, 0, 1'000'000); },
     kNumbers,
     "const-cooldown: number of epochs of the cooldown (at least 1), its power (1: linear; more: "
     "falls early, then flattens), and the rate at the end.",
     "epochs_cooldown"},
    {"learning_rate.cooldown_power",
     [](Key k) { k.Real(k->learning_rate.cooldown_power, 1e-6, 100); },
     kNumbers, "", "lr_cooldown_power"},
    {"learning_rate.cooldown_end",
     [](Key k) { k.Real(k->learning_rate.cooldown_end, 0, 100); },
     kNumbers, "", "lr_cooldown_end"},

    {"pipeline.threads", [](Key k) { k.Integer(k->decoders, 0, kMostThreads); }, kNothing,
     "Threads per rank: threads to decode and tokenize, io_threads to read. threads = 0: from the "
     "host's cores and ranks: with a GPU all but one or two of the rank's share of the cores, else "
     "a quarter of it; the start prints the number. Batches do not depend on them.",
     "workers num_workers", kPerHost},
    {"pipeline.io_threads",
     [](Key k) { k.Integer(k->pipeline.io_threads, 1, kMostThreads); },
     kNothing, "", "", kPerHost},
    {"pipeline.prefetch", [](Key k) { k.Integer(k->pipeline.prefetch, 1, 4096); }, kNothing,
     "Maximum number of batches prepared ahead.",
     "prefetch_factor", kPerHost},
    {"pipeline.memory",
     [](Key k) { k.Integer(k->pipeline.memory_bytes, 0, std::int64_t{1} << 46); },
     kNothing,
     "Maximum bytes per rank for batches, records and decoders; if it is too small for prefetch, "
     "fewer batches are prepared ahead. 0: what prefetch needs plus 256 MiB. Batches do not "
     "depend on it.",
     "", kPerHost},
    {"pipeline.read_ahead",
     [](Key k) { k.Integer(k->pipeline.read_ahead_bytes, -1, std::int64_t{1} << 46); },
     kNothing,
     "Maximum bytes to read ahead into the page cache, one shuffle window before they are "
     "needed, in large requests. 0: off; -1: half of the memory free at the start. Batches do "
     "not depend on it.",
     "", kPerHost},
    {"pipeline.max_pixels",
     [](Key k) { k.Integer(k->pipeline.decode.max_pixels, 1, std::int64_t{1} << 31); },
     kNumbers,
     "Images with more pixels are skipped and counted."},
    {"pipeline.formats", [](Key k) { k.TextList(k->formats); }, kNumbers,
     "Image formats to read. \"gif\" and \"bmp\" are off by default. See "
     "pipeline/pixels/decode.md for how each format is decoded."},
    {"pipeline.exif_rotate", [](Key k) { k.Flag(k->pipeline.decode.exif_rotate); }, kNumbers,
     "Rotate images according to their EXIF orientation. false: keep them as stored, like "
     "OpenCLIP."},
    {"pipeline.pixels", [](Key k) { k.Choice(k->pixels, {"exact", "fast"}); }, kNumbers,
     "\"exact\": the same bytes as Pillow; \"fast\": training decodes large JPEGs at 1/2, 1/4 or "
     "1/8 of their size."},
    {"pipeline.max_skips_in_a_row",
     [](Key k) { k.Integer(k->pipeline.max_skips_in_a_row, 1, 1 << 30); },
     kNothing,
     "Stop the run after this many unusable records in a row."},
    {"pipeline.scale_min", [](Key k) { k.Real(k->pipeline.augment.scale_min, 0.001, 1); }, kNumbers,
     "Random crops in training: fraction of the image area, and aspect ratio (width/height)."},
    {"pipeline.scale_max",
     [](Key k) { k.Real(k->pipeline.augment.scale_max, 0.001, 1); },
     kNumbers, ""},
    {"pipeline.ratio_min",
     [](Key k) { k.Real(k->pipeline.augment.ratio_min, 0.01, 100); },
     kNumbers, ""},
    {"pipeline.ratio_max",
     [](Key k) { k.Real(k->pipeline.augment.ratio_max, 0.01, 100); },
     kNumbers, ""},

    {"comm.join_timeout", [](Key k) { k.Integer(k->comm.join_timeout, 1, 1'000'000); }, kNothing,
     "Seconds that ranks wait for each other: join_timeout at the start, timeout in a collective "
     "of a step, patience while ranks open data, evaluate or save. After that all ranks stop and "
     "name the missing one.",
     "", kPerHost},
    {"comm.timeout",
     [](Key k) { k.Integer(k->comm.timeout, 1, 1'000'000); },
     kNothing, "", "", kPerHost},
    {"comm.patience",
     [](Key k) { k.Integer(k->comm.patience, 1, 10'000'000); },
     kNothing, "", "", kPerHost},

    {"eval.every_epochs", [](Key k) { k.Integer(k->eval.every_epochs, 0, 1'000'000); }, kEvaluation,
     "Retrieval evaluation on data.val every this many epochs. 0: never.",
     "val_frequency"},
    {"eval.batch_size", [](Key k) { k.Integer(k->eval.batch_size, 1, 1 << 20); }, kRounding,
     "Images per batch in evaluation."},
    {"eval.zeroshot", [](Key k) { k.Text(k->eval.zeroshot); }, kEvaluation,
     "Labeled images for zero-shot classification during training: a list like data.train, or an "
     "ImageFolder (one folder per class, as in torchvision). Empty: none.",
     "imagenet_val", kPerHost},
    {"eval.zeroshot_classes", [](Key k) { k.Text(k->eval.zeroshot_classes); }, kEvaluation,
     "File of class names, one per line; the first is label 0. Or \"imagenet\", installed by "
     "tools/setup.sh. Empty: the folder names of an ImageFolder. Equal names stay separate "
     "classes. Labels can be class names; differences in case, \"_\" and \"-\" are allowed. "
     "Images whose label is not a class are counted and reported."},
    {"eval.zeroshot_templates", [](Key k) { k.Text(k->eval.zeroshot_templates); }, kEvaluation,
     "File of prompt templates, one per line, with {} or {c} for the class name; or \"openai\" "
     "(80), \"simple\" (7)."},
    {"eval.zeroshot_label_key", [](Key k) { k.Text(k->eval.zeroshot_label_key); }, kEvaluation,
     "Where an image's label is. Empty: member .cls, or column \"label\". \"json.NAME\": a field "
     "of the .json. Otherwise the name of a table column."},
    {"eval.zeroshot_every_epochs",
     [](Key k) { k.Integer(k->eval.zeroshot_every_epochs, 0, 1'000'000); },
     kEvaluation,
     "Zero-shot evaluation every this many epochs. 0: never.",
     "zeroshot_frequency"},

    {"checkpoint.every_steps",
     [](Key k) { k.Integer(k->checkpoint.every_steps, 0, kMany); },
     kNothing,
     "Save a checkpoint every this many steps and every this many epochs (0: off). The end of "
     "the run and Ctrl-C always save one."},
    {"checkpoint.every_epochs",
     [](Key k) { k.Integer(k->checkpoint.every_epochs, 0, 1'000'000); },
     kNothing, "", "save_frequency"},
    {"checkpoint.keep", [](Key k) { k.Integer(k->checkpoint.keep, 2, 1'000'000); }, kNothing,
     "Number of checkpoints to keep, at least 2.",
     "save_most_recent delete_previous_checkpoint"},
    {"checkpoint.async", [](Key k) { k.Flag(k->checkpoint.async); }, kNothing,
     "Training goes on while a checkpoint is written from a copy in host memory, which needs as much "
     "memory as the checkpoint has bytes. The checkpoints are the same. false: training waits, as "
     "it always does for the last one."},
});
// clang-format on

}  // namespace

std::span<const KeyInfo> ConfigKeys() { return kKeys; }

void BindConfig(TrainConfig& config, ConfigTable& table) {
  table.AdviseBy([](const std::string& unknown) {
    if (std::string advice = AdviceOn(unknown); !advice.empty()) return advice;
    const std::string key = KeyNearTo(unknown);
    return key.empty() ? "" : DidYouMean(key);
  });
  for (const KeyInfo& key : kKeys) key.bind({key.name, config, table});
}

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
      return "same effect";
    case kSameState:
      return "refused";
  }
  return "";
}

}  // namespace fastclip
