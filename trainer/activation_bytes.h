#pragma once

#include <cstdint>
#include <optional>

#include "trainer/model/clip_model.h"

namespace fastclip {

/// Bytes that a row of a micro-batch holds between its forward and its backward pass, its picture
/// and a caption of full length among them: counted over forward passes of a few rows on the CPU,
/// so that activation checkpointing and autocast are in it.
std::int64_t ActivationBytesPerRow(const ClipModel& model, std::optional<at::ScalarType> autocast);

}  // namespace fastclip
