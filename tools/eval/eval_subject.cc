#include "tools/eval/eval_subject.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "comm/cuda_library.h"
#include "pipeline/base/printable.h"
#include "pipeline/loader/compute_pool.h"
#include "pipeline/shards/shard_list.h"
#include "pipeline/sources/open_source.h"
#include "pipeline/sources/table_layout.h"
#include "tools/cli/progress_line.h"
#include "tools/cli/tell.h"
#include "tools/cli/usage_error.h"
#include "trainer/adapters/adapter_file.h"
#include "trainer/adapters/attach_adapter.h"
#include "trainer/base/kernels.h"
#include "trainer/config/config.h"
#include "trainer/config/core_share.h"
#include "trainer/model/presets.h"
#include "trainer/run/run_setup.h"
#include "trainer/state/checkpoint.h"
#include "trainer/state/weights_file.h"
#include "trainer/state/weights_origin.h"

namespace fastclip {
EvalSubject::EvalSubject(const EvalOptions& options)
    : device_(options.device == "auto" ? ChooseDevice() : DeviceChoice{options.device}),
      watched_(!options.json),
      start_(std::chrono::steady_clock::now()) {
  encode_.target.device = OpenDevice(device_.device, "--device " + options.device, TellWarning);
  if (device_.warn) Tell("warning: device {}\n", DescribeDevice());
  const ModelSource source = ResolveModel(options.model);
  TellSkipped(source.passed_over);
  file_ = source.file;
  source_.caption_lines = CaptionLines::kSplit;
  encode_.target.length_groups = 0;
  std::string preset, tokenizer = "clip";
  KernelOptions kernels;
  const std::string config_file = source.run + "/config.toml";
  if (!source.run.empty() && std::filesystem::exists(config_file)) {
    const LoadedConfig config(config_file, {});
    preset = config->model.name;
    // The run's own copy works even if the run folder was moved.
    const std::string own_model = source.run + "/model.toml";
    if (preset.ends_with(".toml") && std::filesystem::exists(own_model)) preset = own_model;
    source_ = OtherSourceOf(*config);
    tokenizer = config->data.tokenizer;
    encode_.loader = config->pipeline;
    encode_.target.trim_text = config->model.trim_text;
    encode_.target.length_groups = config->train.length_groups;
    if (config->train.precision == "fp64") encode_.target.dtype = at::kDouble;
    kernels = config->train.kernels;
    if (source.is_adapter) {
      adapter_ = std::filesystem::path(file_).parent_path();
      file_ = config->train.init.empty() ? config->model.pretrained
                                         : ResolveModel(config->train.init).file;
    }
  }
  if (!options.adapter.empty()) {
    const ModelSource adapter = FindAdapter(options.adapter);
    TellSkipped(adapter.passed_over);
    adapter_ = std::filesystem::path(adapter.file).parent_path();
  }
  source_.manifest_fallback_dir = source.run;
  source_.renew = true;  // evaluates the current files, not those in an old manifest
  options.table.Apply(source_.table);
  names_columns_ = options.table.Parsed().any();
  if (!options.preset.empty()) preset = options.preset;
  if (!options.tokenizer.empty()) tokenizer = options.tokenizer;
  if (!preset.empty()) {
    model_ = LoadModelConfig(preset);
  } else {
    const std::optional<WeightsOrigin> origin = OriginOf(file_);
    if (!origin) {
      (void)WeightsFile(file_);  // a file of another format is told first
      throw UsageError(
          fmt::format("{}: unknown model; set --model to one of {}, or to a model .toml", file_,
                      fmt::join(ModelPresets(), ", ")));
    }
    model_ = ModelOf(*origin);
    if (options.tokenizer.empty() && !origin->tokenizer.empty()) tokenizer = origin->tokenizer;
  }
  tokenizer_ = OpenTokenizer(tokenizer);
  if (tokenizer_->vocab_size() > model_.text.vocab_size) {
    throw std::runtime_error(fmt::format(
        "tokenizer {} has {} ids, but model {} has {} embeddings; set --tokenizer to the "
        "one it was trained with, clip or sentencepiece:MODEL",
        tokenizer, tokenizer_->vocab_size(), model_.name, model_.text.vocab_size));
  }
  const std::string unchecked = CheckOrigin(file_, {.config = model_,
                                                    .tokenizer = tokenizer,
                                                    .vocabulary_hash = VocabularyHash(tokenizer),
                                                    .model_option = "--model",
                                                    .tokenizer_option = "--tokenizer"});
  if (!unchecked.empty()) Tell("{}\n", unchecked);
  if (const auto origin = OriginOf(file_); origin && origin->batch_size > 0) {
    loss_batch_ = origin->batch_size;
  }
  const bool on_gpu = !encode_.target.device.is_cpu();
  // On the CPU the model and the decoders take turns: all cores for each.
  const int cores = std::clamp(UsableCores(), 1, kMostThreads);
  RankThreads threads{.model = cores, .decoders = cores};
  if (on_gpu) threads = ShareCores({.cores = cores, .on_gpu = true});
  if (options.threads > 0) threads = {.model = options.threads, .decoders = options.threads};
  at::set_num_threads(threads.model);
  encode_.loader.threads = threads.decoders;
  // As the evaluation during training.
  if (on_gpu) UseKernels(kernels);
  encode_.batch_size = options.batch_size;
}

std::unique_ptr<ClipModel> EvalSubject::Load() const {
  auto model =
      std::make_unique<ClipModel>(model_, /*seed=*/0, /*init_temperature=*/0.07,
                                  encode_.target.dtype, LockOptions{}, encode_.target.device);
  const WeightsFile weights(file_);
  if (!weights.prefix().empty()) Tell("{}\n", weights.DescribePrefix());
  model->Load(weights.Read(), file_);
  if (!adapter_.empty()) AttachAdapter(*model, adapter_);
  return model;
}

Adapter EvalSubject::ReadHead() const {
  if (!adapter_.empty()) {
    Adapter adapter = ReadAdapter(adapter_);
    if (ClassesOf(adapter) > 0) return adapter;
  }
  throw std::runtime_error(
      fmt::format("{}: has no class head: it was not trained with adapt.task = classify; eval "
                  "zeroshot classifies by class names",
                  name()));
}

std::unique_ptr<RecordSource> EvalSubject::Open(const std::string& list,
                                                SourceOptions options) const {
  options.refuse_missing_images = true;
  // The run's keys are for its own tables.
  const auto is_table = [](const std::string& part) { return TableFormatOf(part).has_value(); };
  if (!names_columns_ && std::ranges::none_of(SplitList(list), is_table)) options.table = {};
  OpenedSource opened = OpenSourceWithInfo(list, options);
  for (const std::string& line : WarningLines(opened.parts)) Tell("{}\n", line);
  for (const std::string& line : FolderLines(opened.parts)) Tell("{}\n", line);
  return std::move(opened.source);
}

std::unique_ptr<RecordSource> EvalSubject::OpenLabelled(
    const std::string& list, const std::string& label_key,
    std::shared_ptr<const ClassNames> names) const {
  SourceOptions options = source_;
  options.labels = label_key;
  options.class_names = std::move(names);
  return Open(list, options);
}

EncodeOptions EvalSubject::Encode(const std::string& what, std::int64_t total) const {
  EncodeOptions options = encode_;
  options.progress = Progress(what, total);
  return options;
}

std::function<void(std::int64_t)> EvalSubject::Progress(const std::string& what,
                                                        std::int64_t total) const {
  if (!watched_) return {};
  return [what, total, line = std::make_shared<ProgressLine>()](std::int64_t done) {
    if (done < total) {
      line->Show(done, total, what, "");
    } else {
      line->End();
    }
  };
}

std::string EvalSubject::DescribeDevice() const {
  return device_.device + (device_.why.empty() ? "" : ": " + device_.why);
}

std::string EvalSubject::name() const {
  return adapter_.empty() ? file_ : fmt::format("{} with the adapter {}", file_, adapter_);
}

double EvalSubject::Seconds() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
}

}  // namespace fastclip
