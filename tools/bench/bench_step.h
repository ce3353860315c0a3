#pragma once

#include <c10/core/Device.h>

#include <cstdint>

#include "trainer/config/config.h"

namespace fastclip {

/// Seconds (StepTiming) of a training step of `rows` rows of this config on `device`, measured for
/// about `seconds` on synthetic images and captions of real length, without loading and
/// communication.
double MeasureStep(const LoadedConfig& config, std::int64_t rows, double seconds,
                   c10::Device device);

}  // namespace fastclip
