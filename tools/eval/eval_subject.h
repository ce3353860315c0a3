#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "pipeline/records/class_names.h"
#include "pipeline/records/record_source.h"
#include "tokenizer/tokenizer.h"
#include "tools/cli/cli.h"
#include "trainer/eval/class_hits.h"
#include "trainer/eval/encode_set.h"
#include "trainer/log/metrics.h"
#include "trainer/model/clip_model.h"

namespace fastclip {

/// What all `fastclip eval` verbs are told.
struct EvalOptions {
  std::string model;
  std::string shards;
  std::string preset;
  std::string tokenizer;
  TableOptions table;
  int batch_size = 256;
  int threads = 0;  ///< 0: all cores
  bool json = false;
};

/// Adds RUN_OR_CHECKPOINT, --shards, --model, --tokenizer, those of tables, --batch, --threads and
/// --json.
void AddEvalOptions(CLI::App& app, EvalOptions& options);
void AddLabelKey(CLI::App& app, std::string& label_key);

/// The model to evaluate and how to feed it: as its run was trained, --model and --tokenizer going
/// before the run's.
class EvalSubject {
 public:
  /// Finds the model and sets ATen's threads; reads no weights. Says on standard error which
  /// damaged checkpoints it passes over. Throws UsageError where it cannot know the model's shape,
  /// std::runtime_error with what to do for the rest.
  explicit EvalSubject(const EvalOptions& options);

  /// Reads the weights.
  std::unique_ptr<ClipModel> Load() const;
  /// How the run reads records, but for where its training's captions are.
  const SourceOptions& source_options() const { return source_; }
  /// Opens a list and says on standard error what is wrong with it.
  std::unique_ptr<RecordSource> Open(const std::string& list, const SourceOptions& options) const;
  /// With labels in place of captions: `label_key` says where they are, `names` what those mean
  /// that are names.
  std::unique_ptr<RecordSource> OpenLabelled(const std::string& list, const std::string& label_key,
                                             std::shared_ptr<const ClassNames> names) const;

  const std::string& file() const { return file_; }
  const ModelConfig& model() const { return model_; }
  const Tokenizer& tokenizer() const { return *tokenizer_; }
  /// With a ProgressLine, unless --json is given.
  EncodeOptions Encode(const std::string& what, std::int64_t total) const;
  /// A ProgressLine, unless --json is given; `done` == total removes it.
  std::function<void(std::int64_t done)> Progress(const std::string& what,
                                                  std::int64_t total) const;
  double Seconds() const;

 private:
  std::string file_;
  SourceOptions source_;
  ModelConfig model_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  EncodeOptions encode_;
  bool watched_;
  std::chrono::steady_clock::time_point start_;
};

/// What was left out of an evaluation by classes, for people; empty where nothing was.
std::string DescribeLeftOut(const ClassHits& hits, const ClassNames& names);
/// left_out of an evaluation by classes: skips, label_out_of_range, the first of these, and how
/// often each name of no class was met.
nlohmann::ordered_json NamedLeftOut(const ClassHits& hits, const ClassNames& names);
/// One line on standard output.
void PrintJson(const nlohmann::ordered_json& json);
/// The lines "NAME top-1 top-5 per-class" and "chance".
void PrintClassTable(const char* name, const ClassMetrics& metrics, std::int64_t classes);

}  // namespace fastclip
