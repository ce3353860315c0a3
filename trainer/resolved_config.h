#pragma once

#include "trainer/config.h"

namespace fastclip {

/// Writes RUN/config.toml: every key with the value that the run has, and every file named so that
/// it is found from any folder. A model that was given as a file is kept as RUN/model.toml.
void WriteResolvedConfig(const TrainConfig& config);

}  // namespace fastclip
