#pragma once

#include <string>

#include "pipeline/open_source.h"
#include "pipeline/order_plan.h"
#include "tokenizer/tokenizer.h"
#include "trainer/config.h"

namespace fastclip {

/// What a config's keys become, checked against each other and the data: shared by a run and by its
/// dry run. Each throws ConfigError where the config does not fit.

/// The model of model.name, with what other sections add to it; fits tokenizer, locks and dropout.
ModelConfig CheckedModel(const LoadedConfig& config, const Tokenizer& tokenizer);

/// Of data.train; of other lists of the config.
SourceOptions TrainSourceOf(const TrainConfig& config);
SourceOptions OtherSourceOf(const TrainConfig& config);

/// What pipeline.memory must hold: batches of so many rows.
void CheckMemory(const LoadedConfig& config, const LoaderOptions& options, std::int64_t rows);

OrderPlan PlanOf(const LoadedConfig& config, const RecordSource& source);

}  // namespace fastclip
