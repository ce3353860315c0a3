#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "pipeline/loader/loader_options.h"
#include "pipeline/order/order_plan.h"
#include "pipeline/sources/open_source.h"
#include "tokenizer/tokenizer.h"
#include "trainer/config/config.h"

namespace fastclip {

/// What a config's keys become, checked against each other and the data: shared by a run and by its
/// dry run. Each throws ConfigError where the config does not fit.

/// The model of model.name, with what other sections add to it; fits locks and dropout.
ModelConfig ModelOf(const LoadedConfig& config);
/// The same, and it fits the tokenizer.
ModelConfig CheckedModel(const LoadedConfig& config, const Tokenizer& tokenizer);

/// What of a run does not depend on its data.
struct RunShape {
  explicit RunShape(const LoadedConfig& config);

  std::shared_ptr<const Tokenizer> tokenizer;
  std::uint64_t vocabulary_hash;  ///< of the file that it was read from
  ModelConfig model;
  LoaderOptions loader;
};

/// Of data.train; of other lists of the config.
SourceOptions TrainSourceOf(const TrainConfig& config);
SourceOptions OtherSourceOf(const TrainConfig& config);

/// Looks at some records of a list that `key` of the config named. Returns what to say of them, a
/// line each. Throws std::runtime_error where none has what training or retrieval need; it says
/// what they hold instead. `options`: TrainSourceOf, OtherSourceOf.
std::vector<std::string> LookAtData(const std::string& key, const std::string& list,
                                    const RecordSource& source, const SourceOptions& options);

/// The loader of a run's batches.
LoaderOptions LoaderOf(const TrainConfig& config, const ModelConfig& model);

/// What pipeline.memory must hold: batches of so many rows.
void CheckMemory(const LoadedConfig& config, const LoaderOptions& options, std::int64_t rows);

OrderPlan PlanOf(const LoadedConfig& config, const RecordSource& source);

}  // namespace fastclip
