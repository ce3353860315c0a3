#pragma once

#include <string>
#include <vector>

#include "trainer/config/config.h"

namespace fastclip {

/// Sets the sections that adapt.task = "classify" makes idle, objective, gamma and temperature, to
/// values without estimators or a temperature that trains. Returns the keys that had others.
std::vector<std::string> SetLabelTask(TrainConfig& config);

}  // namespace fastclip
