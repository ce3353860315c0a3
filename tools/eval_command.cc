#include "tools/eval_command.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "pipeline/compute_pool.h"
#include "pipeline/open_source.h"
#include "tokenizer/tokenizer.h"
#include "tools/cli.h"
#include "tools/usage_error.h"
#include "trainer/checkpoint.h"
#include "trainer/config.h"
#include "trainer/eval/encode_set.h"
#include "trainer/eval/retrieval.h"
#include "trainer/metrics.h"
#include "trainer/model/presets.h"
#include "trainer/safetensors.h"

namespace fastclip {
namespace {

struct Options {
  std::string model;
  std::string shards;
  std::string preset;
  std::string tokenizer;
  int batch_size = 256;
  int threads = 0;
  bool json = false;
};

/// A model to evaluate and how to feed it.
struct Subject {
  std::string file;
  ModelConfig model;
  std::string tokenizer = "clip";
  EncodeOptions encode;
  SourceOptions source;
};

/// What the run was trained with; --model and --tokenizer go before it.
Subject OpenSubject(const Options& options) {
  const ModelSource source = ResolveModel(options.model);
  for (const std::string& reason : source.passed_over) {
    fmt::print(stderr, "passed over a damaged checkpoint: {}\n", reason);
  }
  Subject subject{.file = source.file, .model = {}, .encode = {}, .source = {}};
  subject.source.manifest_fallback_dir = source.run;
  std::string preset;
  const std::string config_file = source.run + "/config.toml";
  if (!source.run.empty() && std::filesystem::exists(config_file)) {
    const LoadedConfig config(config_file, {});
    preset = config->model.name;
    // The run's own copy is there even where the folder was moved.
    const std::string own_model = source.run + "/model.toml";
    if (preset.ends_with(".toml") && std::filesystem::exists(own_model)) preset = own_model;
    subject.source.max_record_bytes = config->data.max_record_bytes;
    subject.tokenizer = config->data.tokenizer;
    subject.encode.loader = config->pipeline;
    subject.encode.target.trim_text = config->model.trim_text;
    if (config->train.precision == "fp64") subject.encode.target.dtype = at::kDouble;
  }
  if (!options.preset.empty()) preset = options.preset;
  if (!options.tokenizer.empty()) subject.tokenizer = options.tokenizer;
  if (preset.empty()) {
    throw UsageError(
        fmt::format("{} lies in no run folder with a config.toml that tells its model: add "
                    "--model, one of {}, or a model's .toml",
                    source.file, fmt::join(ModelPresets(), ", ")));
  }
  subject.model = LoadModelConfig(preset);
  return subject;
}

std::shared_ptr<const Tokenizer> TokenizerOf(const Subject& subject) {
  auto tokenizer = OpenTokenizer(subject.tokenizer);
  if (tokenizer->vocab_size() > subject.model.text.vocab_size) {
    throw std::runtime_error(
        fmt::format("tokenizer {} has {} ids, but model {} embeds {}: name the tokenizer that it "
                    "was trained with, --tokenizer clip or sentencepiece:MODEL",
                    subject.tokenizer, tokenizer->vocab_size(), subject.model.name,
                    subject.model.text.vocab_size));
  }
  return tokenizer;
}

void PrintTable(const Subject& subject, const Options& options, const EncodedSet& set,
                const RetrievalMetrics& metrics, double seconds) {
  const std::int64_t left_out =
      std::accumulate(set.skips.begin(), set.skips.end(), std::int64_t{0});
  fmt::print("model     {} ({})\n", subject.file, subject.model.name);
  fmt::print("data      {}: {} pictures, {} captions", options.shards, metrics.images,
             metrics.captions);
  if (left_out > 0) fmt::print("; {} left out: {}", left_out, DescribeSkips(set.skips));
  fmt::print("\n\n{:<16}{:>8}{:>8}{:>8}{:>12}{:>13}\n", "", "R@1", "R@5", "R@10", "mean rank",
             "median rank");
  const auto line = [](const char* name, const RetrievalDirection& direction) {
    fmt::print("{:<16}{:>8.4f}{:>8.4f}{:>8.4f}{:>12.1f}{:>13.0f}\n", name, direction.recall_1,
               direction.recall_5, direction.recall_10, direction.mean_rank, direction.median_rank);
  };
  line("image to text", metrics.image_to_text);
  line("text to image", metrics.text_to_image);
  const auto images = static_cast<double>(metrics.images);
  fmt::print("{:<16}{:>8.4f}{:>8.4f}{:>8.4f}   (text to image)\n", "chance",
             std::min(1.0, 1 / images), std::min(1.0, 5 / images), std::min(1.0, 10 / images));
  fmt::print("\ntook {:.1f} s\n", seconds);
}

void PrintJson(const Subject& subject, const Options& options, const EncodedSet& set,
               const RetrievalMetrics& metrics, double seconds) {
  nlohmann::ordered_json json;
  for (const auto& [name, value] : NamedRetrieval(metrics)) json[name] = value;
  json["num_samples"] = metrics.images;
  json["num_captions"] = metrics.captions;
  json["left_out"] = NamedSkips(set.skips);
  json["model"] = subject.file;
  json["shards"] = options.shards;
  json["seconds"] = seconds;
  fmt::print("{}\n", json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

int RunRetrieval(const Options& options) {
  const auto start = std::chrono::steady_clock::now();
  Subject subject = OpenSubject(options);
  const int threads =
      options.threads > 0
          ? options.threads
          : std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, kMostThreads);
  at::set_num_threads(threads);
  subject.encode.loader.threads = threads;
  subject.encode.batch_size = options.batch_size;

  const auto tokenizer = TokenizerOf(subject);
  ClipModel model(subject.model, /*seed=*/0, /*init_temperature=*/0.07,
                  subject.encode.target.dtype);
  model.Load(ReadSafetensors(subject.file).tensors, subject.file);
  const OpenedSource opened = OpenSourceWithInfo(options.shards, subject.source);
  for (const std::string& line : WarningLines(opened.parts)) fmt::print(stderr, "{}\n", line);
  const RecordSource* source = opened.source.get();

  const bool progress = !options.json && isatty(STDERR_FILENO) != 0;
  if (progress) {
    subject.encode.progress = [&](std::int64_t done) {
      fmt::print(stderr, "\rencoding {} of {} …", done, source->size());
    };
  }
  const EncodedSet set = EncodeSet(model, *source, SampleIndex{0}, SampleIndex{source->size()},
                                   *tokenizer, subject.encode);
  if (progress) fmt::print(stderr, "\r{:60}\r", "");
  const RetrievalMetrics metrics =
      ComputeRetrieval(set.features.image, set.features.text, set.caption_row);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  (options.json ? PrintJson : PrintTable)(subject, options, set, metrics, took.count());
  return 0;
}

}  // namespace

int RunEval(int argc, const char* const* argv) {
  Options options;
  CLI::App app("Evaluates a trained model on shards that it has not seen.", "fastclip eval");
  app.require_subcommand(1);
  CLI::App* retrieval = app.add_subcommand(
      "retrieval", "R@1, R@5, R@10: pictures find their captions, captions their pictures");
  retrieval
      ->add_option("RUN_OR_CHECKPOINT", options.model,
                   "run folder (its newest whole checkpoint), RUN/checkpoints/step_N, or a "
                   ".safetensors file under OpenCLIP's names")
      ->required();
  retrieval
      ->add_option("--shards", options.shards,
                   "tar shards (braces, globs, ::) or a table of images")
      ->required();
  retrieval->add_option("--model", options.preset,
                        "preset or model .toml; needed for a file outside of a run");
  retrieval
      ->add_option("--tokenizer", options.tokenizer,
                   "clip, clip:VOCAB or sentencepiece:MODEL; default: the run's, else clip")
      ->check(WrongTokenizer);
  retrieval->add_option("--batch", options.batch_size, "pictures encoded at once")
      ->check(CLI::Range(1, 65536))
      ->capture_default_str();
  retrieval->add_option("--threads", options.threads, "default: all cores")
      ->check(CLI::Range(1, kMostThreads));
  retrieval->add_flag("--json", options.json, "one JSON object on standard output");
  const std::string example =
      "example: fastclip eval retrieval runs/quickstart --shards 'shards/heldout-*.tar' --json";
  app.footer(example);
  retrieval->footer(example);
  if (!ParseArguments(app, argc, argv)) return 0;
  return RunRetrieval(options);
}

}  // namespace fastclip
