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
#include "trainer/eval/class_set.h"

namespace fastclip {

/// Builds the parts of a run from a config and checks them against each other and the data; shared
/// by a run and its dry run. All throw ConfigError if the config does not fit.

/// The model of model.name, with options of other sections; checks locks, dropout and tuners.
ModelConfig ModelOf(const LoadedConfig& config);
/// Refuses tuners that a recorded step cannot have.
void CheckTunersRecordable(const LoadedConfig& config, const ModelConfig& model);
/// ModelOf(), and checks that it fits the tokenizer.
ModelConfig CheckedModel(const LoadedConfig& config, const Tokenizer& tokenizer);

/// The parts of a run that do not depend on its data.
struct RunShape {
  explicit RunShape(const LoadedConfig& config);

  std::shared_ptr<const Tokenizer> tokenizer;
  std::uint64_t vocabulary_hash;  ///< of the vocabulary file
  ModelConfig model;
  ClassSet classes;  ///< of adapt.task = classify; else none
  LoaderOptions loader;
};

/// The classes of adapt.task = classify; else none.
ClassSet ClassesOf(const LoadedConfig& config);

/// How captions are trimmed, in words.
std::string TrimOf(const TrainConfig& config);

/// Options of data.train, and of other lists of the config.
SourceOptions TrainSourceOf(const TrainConfig& config);
SourceOptions OtherSourceOf(const TrainConfig& config);
/// The same of data.train and data.val if there are classes: images with labels.
SourceOptions TrainSourceOf(const TrainConfig& config, const ClassSet& classes);
SourceOptions ValSourceOf(const TrainConfig& config, const ClassSet& classes);

/// Opens the list that is set with the config's `key`. Errors say where the key is set. Throws
/// ConfigError for a column that a table does not have, and what OpenSource() throws.
OpenedSource OpenListOf(const LoadedConfig& config, const std::string& key, const std::string& list,
                        const SourceOptions& options);
/// An error's text with the keys of a run in place of the options that commands have for tables.
std::string WithKeys(std::string text);

/// Checks some records of the list of the config's `key`. Returns lines for the user. Throws
/// std::runtime_error, with what the records hold, if none is usable for training or retrieval.
/// `options`: TrainSourceOf, ValSourceOf. If there are `classes`, it checks labels.
std::vector<std::string> LookAtData(const LoadedConfig& config, const std::string& key,
                                    const std::string& list, const RecordSource& source,
                                    const SourceOptions& options, const ClassSet& classes = {});

/// Loader options for a run's batches.
LoaderOptions LoaderOf(const TrainConfig& config, const ModelConfig& model);

/// Batches that a run holds at once: on a GPU a step is enqueued before the last one's batch is
/// given back.
int HeldBatches(const TrainConfig& config);

/// Checks that pipeline.memory is enough for batches of `rows` rows, of which the consumer holds
/// `held`.
void CheckMemory(const LoadedConfig& config, const LoaderOptions& options, std::int64_t rows,
                 int held = 1);

OrderPlan PlanOf(const LoadedConfig& config, const RecordSource& source);
/// The same for data.train. If that fails on resume because the data changed, the error says so.
OrderPlan PlanOfData(const LoadedConfig& config, const OpenedSource& train);

}  // namespace fastclip
