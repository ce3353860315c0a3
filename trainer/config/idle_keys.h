#pragma once

#include <string>
#include <vector>

#include "trainer/config/config.h"

namespace fastclip {

/// Keys with another value than their default that have no effect beside the other keys, a line for
/// each reason: "optimizer.momentum has no effect with optimizer.name = adamw".
std::vector<std::string> KeysWithoutEffect(const TrainConfig& config);

}  // namespace fastclip
