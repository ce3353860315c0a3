#pragma once

#include "trainer/config/config.h"

namespace fastclip {

/// `config` with absolute paths. A model given as a file becomes RUN/model.toml.
TrainConfig ResolvedConfig(const TrainConfig& config);

/// Writes the resolved config to RUN/config.toml, every key with its value, and a model given as a
/// file to RUN/model.toml. train.device = "auto" and train.threads = 0 stay as they were given: a
/// resume on another host decides them again. A different config.toml of an earlier start is kept
/// as config.1.toml, config.2.toml, ….
void WriteResolvedConfig(const TrainConfig& config);

}  // namespace fastclip
