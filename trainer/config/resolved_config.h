#pragma once

#include "trainer/config/config.h"

namespace fastclip {

/// `config` with every file named so that it is found from any folder. A model that was given as a
/// file is RUN/model.toml.
TrainConfig ResolvedConfig(const TrainConfig& config);

/// Writes the resolved config as RUN/config.toml, every key with its value, and a model that was
/// given as a file as RUN/model.toml. A config.toml of an earlier start that says something else is
/// kept as config.1.toml, config.2.toml, ….
void WriteResolvedConfig(const TrainConfig& config);

}  // namespace fastclip
