#include "trainer/run/run_setup.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <utility>

#include "pipeline/base/printable.h"
#include "pipeline/base/suggested_command.h"
#include "pipeline/loader/memory_plan.h"
#include "pipeline/sources/record_sample.h"
#include "pipeline/sources/sample_advice.h"
#include "pipeline/sources/skip_advice.h"
#include "pipeline/sources/table_layout.h"
#include "trainer/adapt/s2ft.h"
#include "trainer/adapters/taken_columns.h"
#include "trainer/config/config_keys.h"
#include "trainer/eval/class_prompts.h"
#include "trainer/eval/zero_shot.h"
#include "trainer/model/presets.h"
#include "trainer/run/run_data.h"
#include "trainer/state/checkpoint.h"
#include "trainer/state/weights_origin.h"

namespace fastclip {
namespace {

/// Before data is opened. A run that goes on has its columns already, and the others may be gone.
void CheckExclude(const LoadedConfig& config, const ModelConfig& model) {
  const AdaptOptions& adapt = config->adapt;
  if (adapt.tuners.empty() || adapt.exclude.empty()) return;
  if (!HasColumns(adapt, model)) {
    throw config.table().Error("adapt.exclude",
                               "leaves out columns of s2ft, but adapt.tuners has no s2ft tuner");
  }
  if (config->resume) return;
  try {
    CheckColumnsLeft(model, adapt, TakenColumns(adapt.exclude, model));
  } catch (const std::invalid_argument& error) {
    throw config.table().Error("adapt.tuners", error.what());
  } catch (const std::runtime_error& error) {
    throw config.table().Error("adapt.exclude", error.what());
  }
}

/// Throws std::invalid_argument.
OrderOptions OrderOf(const TrainConfig& config, const RecordSource& source) {
  return {.size = source.size(),
          .batch_size = config.train.batch_size,
          .lanes = config.data.lanes,
          .chunk = config.data.chunk,
          .window = config.data.window,
          .seed = config.train.seed,
          .tail = TailOfName(config.data.tail),
          .parts = MixOf(config.data.mix, source.part_sizes()),
          .resampled = config.data.mix.resampled};
}

}  // namespace

RunShape::RunShape(const LoadedConfig& config)
    : tokenizer(OpenTokenizer(config->data.tokenizer)),
      vocabulary_hash(VocabularyHash(config->data.tokenizer)),
      model(CheckedModel(config, *tokenizer)),
      classes(ClassesOf(config)),
      loader(LoaderOf(*config, model)) {
  loader.classes = classes.count;
}

ClassSet ClassesOf(const LoadedConfig& config) {
  const AdaptOptions& adapt = config->adapt;
  if (!adapt.classifies()) return {};
  ClassSet set;
  try {
    set = OpenClassSet(adapt.classes, config->data.train);
  } catch (const std::runtime_error& error) {
    throw config.table().Error("adapt.classes", error.what());
  }
  if (adapt.head == "zeroshot" && set.names.empty()) {
    throw config.table().Error(
        "adapt.head",
        "a zero-shot head is made of class names; set adapt.classes to a file of them");
  }
  if (adapt.head == "zeroshot") {
    try {
      ReadTemplates(adapt.templates);
    } catch (const std::runtime_error& error) {
      throw config.table().Error("adapt.templates", error.what());
    }
  }
  return set;
}

std::string TrimOf(const TrainConfig& config) {
  if (!config.model.trim_text) return "captions not trimmed";
  const int groups = config.train.length_groups;
  if (groups == 1) return "captions trimmed to the longest of a micro-batch";
  return groups == 0 ? "captions trimmed in groups by length"
                     : fmt::format("captions trimmed in up to {} groups by length", groups);
}

SourceOptions TrainSourceOf(const TrainConfig& config) {
  SourceOptions options = OtherSourceOf(config);
  options.manifest = config.data.manifest;
  options.verify_checksums = config.data.verify_checksums;
  options.captions = ParseCaptionKeys(config.data.captions, config.data.caption_weights);
  options.caption_lines = CaptionLinesOf(config.data.caption_lines, CaptionLines::kWhole);
  return options;
}

SourceOptions OtherSourceOf(const TrainConfig& config) {
  SourceOptions options;
  options.manifest_fallback_dir = config.run;
  options.formats = config.pipeline.decode.formats;
  options.max_record_bytes = config.data.max_record_bytes;
  options.table = TableKeysOf(config);
  options.refuse_missing_images = true;
  options.caption_lines = CaptionLinesOf(config.data.caption_lines, CaptionLines::kSplit);
  return options;
}

SourceOptions TrainSourceOf(const TrainConfig& config, const ClassSet& classes) {
  const SourceOptions options = TrainSourceOf(config);
  return classes.count > 0 ? classes.Labelled(options, config.adapt.label_key) : options;
}

SourceOptions ValSourceOf(const TrainConfig& config, const ClassSet& classes) {
  const SourceOptions options = OtherSourceOf(config);
  return classes.count > 0 ? classes.Labelled(options, config.adapt.label_key) : options;
}

std::string WithKeys(std::string text) {
  static constexpr std::pair<std::string_view, std::string_view> kNames[] = {
      {"--image-key", "data.image_key"},
      {"--caption-key", "data.caption_key"},
      {"--classes", "eval.zeroshot_classes"},
      {"--label-key", "eval.zeroshot_label_key"},
      {"--separator", "data.separator"}};
  for (const auto& [option, key] : kNames) {
    for (std::size_t at = text.find(option); at != text.npos; at = text.find(option, at)) {
      text.replace(at, option.size(), key);
      at += key.size();
      // "--image-key COLUMN" becomes data.image_key=COLUMN.
      if (std::isupper(static_cast<unsigned char>(text[std::min(at + 1, text.size() - 1)]))) {
        text[at] = '=';
      }
    }
  }
  return text;
}

namespace {

/// The advice of an evaluation's labels, with the keys of adapt.task = classify.
std::string WithLabelKeys(std::string text) {
  text = WithKeys(std::move(text));
  for (const auto& [name, key] :
       {std::pair<std::string_view, std::string_view>{" (eval.zeroshot_label_key in a run)", ""},
        {"eval.zeroshot_label_key", "adapt.label_key"},
        {"eval.zeroshot_classes", "adapt.classes"}}) {
    for (std::size_t at = text.find(name); at != text.npos; at = text.find(name, at)) {
      text.replace(at, name.size(), key);
    }
  }
  return text;
}

/// What to do about a list of `key` that cannot be opened.
std::string AdviceOnList(const std::string& key, const std::string& list,
                         std::string_view failure) {
  if (failure.find("all indexed files are missing") != failure.npos) {
    return fmt::format(
        ". If the files moved, set {}=NEW/PATH: under the same names they are the same data", key);
  }
  if (list.find("build/quickstart/") != list.npos) return "; tools/quickstart.sh makes these files";
  return key == "data.val" ? "; set data.val to held-out data, or data.val= for none" : "";
}

}  // namespace

OpenedSource OpenListOf(const LoadedConfig& config, const std::string& key, const std::string& list,
                        const SourceOptions& options) {
  try {
    return OpenSourceWithInfo(list, options);
  } catch (const WrongColumn& error) {
    const char* const alike =
        key == "data.train" ? ""
                            : ". The key holds for data.train, data.val and eval.zeroshot alike: "
                              "give their columns the same names";
    const bool labels = config->adapt.classifies() && key.starts_with("data.");
    throw config.table().Error(
        key, (labels ? WithLabelKeys(error.what()) : WithKeys(error.what())) + alike);
  } catch (const std::system_error&) {
    throw;
  } catch (const std::runtime_error& error) {
    throw std::runtime_error(
        config.table().Error(key, error.what() + AdviceOnList(key, list, error.what())).what());
  }
}

std::vector<std::string> LookAtData(const LoadedConfig& config, const std::string& key,
                                    const std::string& list, const RecordSource& source,
                                    const SourceOptions& options, const ClassSet& classes) {
  if (classes.count > 0) {
    try {
      CheckLabels(source, classes.count, list, classes.from, *classes.labels);
    } catch (const std::runtime_error& error) {
      throw std::runtime_error(config.table().Error(key, WithLabelKeys(error.what())).what());
    }
    return {};
  }
  std::vector<RecordSample> samples = SampleRecords(source);
  const std::string option = key == "data.train" ? "data.captions" : "";
  if (const std::string lack = DescribeLack(samples, list, options, option); !lack.empty()) {
    throw std::runtime_error(config.table().Error(key, lack).what());
  }
  std::int64_t looked = 0, several_lines = 0;
  SkipCounts skips;
  for (const RecordSample& sample : samples) {
    looked += sample.records;
    several_lines += sample.several_lines;
    skips += sample.skips;
  }
  std::vector<std::string> lines;
  if (const std::string bad = DescribeBad(samples); !bad.empty()) {
    lines.push_back(fmt::format("{}: {}; {} lists all", key, bad, SuggestedCommand("shards lint")));
  }
  for (RecordSample& sample : samples) {  // this line tells of them
    sample.kinds.erase("");
    sample.kinds.erase(kEmptyImage);
  }
  if (skips[Skip::kBadCaption] > 0) {
    lines.push_back(fmt::format("{}: {}", key, AdviceOnCause(Skip::kBadCaption, list)));
  }
  for (const std::string& line : AdviceOnFormats(samples, options.formats, "pipeline.formats")) {
    lines.push_back(fmt::format("{}: {}", key, line));
  }
  if (several_lines > 0) {
    lines.push_back(fmt::format(
        "{}: the .txt of {} of {} checked records has several lines, read as {} "
        "(data.caption_lines)",
        key, several_lines, looked,
        options.caption_lines == CaptionLines::kSplit ? "one caption per line" : "one caption"));
  }
  return lines;
}

void CheckTunersRecordable(const LoadedConfig& config, const ModelConfig& model) {
  const std::vector<TunerSpec> tuners = ReadRecipe(config->adapt, model);
  const auto drops = std::ranges::find_if(tuners, HasDropout);
  if (drops == tuners.end()) return;
  throw config.table().Error(
      "adapt.tuners",
      fmt::format("\"{}\" has dropout, which steps recorded by train.cuda_graphs cannot have; set "
                  "its dropout=0, or train.cuda_graphs = false",
                  drops->text));
}

ModelConfig ModelOf(const LoadedConfig& config) {
  ModelConfig model = LoadModelConfig(config->model.name);
  if (config->objective.name == "siglip") model.init_logit_bias = config->temperature.logit_bias;
  if (config->model.patch_dropout > 0 && model.vision.is_resnet()) {
    throw config.table().Error(
        "model.patch_dropout",
        fmt::format("model {} is a ResNet and has no patches; set it to 0", config->model.name));
  }
  try {
    ReadRecipe(config->adapt, model);
  } catch (const std::invalid_argument& error) {
    throw config.table().Error("adapt.tuners", error.what());
  }
  if (config->train.cuda_graphs && config->train.device != "cpu") {
    CheckTunersRecordable(config, model);
  }
  CheckExclude(config, model);
  if (const auto fault = FaultOf(model, config->model.lock)) {
    throw config.table().Error("model." + fault->option, fault->reason);
  }
  return model;
}

ModelConfig CheckedModel(const LoadedConfig& config, const Tokenizer& tokenizer) {
  ModelConfig model = ModelOf(config);
  if (tokenizer.vocab_size() > model.text.vocab_size) {
    throw config.table().Error(
        "data.tokenizer",
        fmt::format(
            "the vocabulary of '{}' has {} tokens, but that of model {} has {}; use a model file "
            "with text.vocab_size = {} or another tokenizer",
            config->data.tokenizer, tokenizer.vocab_size(), config->model.name,
            model.text.vocab_size, tokenizer.vocab_size()));
  }
  return model;
}

LoaderOptions LoaderOf(const TrainConfig& config, const ModelConfig& model) {
  LoaderOptions options = config.pipeline;
  options.image_size = static_cast<int>(model.vision.image_size);
  options.context_length = static_cast<int>(model.text.context_length);
  return options;
}

int HeldBatches(const TrainConfig& config) { return config.train.device == "cpu" ? 1 : 2; }

void CheckMemory(const LoadedConfig& config, const LoaderOptions& options, std::int64_t rows,
                 int held) {
  try {
    PlanMemory(options, static_cast<int>(rows), held);
  } catch (const std::invalid_argument& error) {
    throw config.table().Error("pipeline.memory", error.what());
  }
}

OrderPlan PlanOf(const LoadedConfig& config, const RecordSource& source) {
  try {
    return OrderPlan(OrderOf(*config, source));
  } catch (const std::invalid_argument& error) {
    const std::string reason = error.what();  // it begins with the key, except for a mix
    const std::string word = reason.substr(0, reason.find(' '));
    const std::string key = word == "batch_size"       ? "train.batch_size"
                            : FindKey(word) == nullptr ? "data.train"
                                                       : word;
    throw ConfigError(
        fmt::format("{}: {}: {}", config.table().Origin(key), config->data.train, reason));
  }
}

OrderPlan PlanOfData(const LoadedConfig& config, const OpenedSource& train) {
  try {
    return PlanOf(config, *train.source);
  } catch (const ConfigError& error) {
    const auto found =
        config->resume && !train.files.empty() ? FindNewestCheckpoint(config->run) : std::nullopt;
    if (!found || found->meta.data_hash == train.source->hash()) throw;
    const std::string change = DescribeDataChange(config->run, train.files);
    throw ConfigError(
        fmt::format("{}: the data changed since the run started{}{}; restore it, or start a new "
                    "run with another run=FOLDER ({})",
                    config->data.train, change.empty() ? "" : ": ", change, error.what()));
  }
}

}  // namespace fastclip
