#pragma once

#include <string>
#include <vector>

#include "trainer/config/config.h"

namespace fastclip {

/// Keys that differ from their default but have no effect with the other keys, one line per reason:
/// "optimizer.momentum has no effect with optimizer.name = adamw".
std::vector<std::string> KeysWithoutEffect(const TrainConfig& config);

}  // namespace fastclip
