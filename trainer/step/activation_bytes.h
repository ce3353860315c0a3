#pragma once

#include <cstdint>
#include <optional>

#include "trainer/base/precision.h"
#include "trainer/model/clip_model.h"

namespace fastclip {

/// Bytes that a row of a micro-batch holds between its forward and its backward pass, its picture
/// and a caption of full length among them.
///
/// They are counted over forward passes of a few rows on the CPU, so that activation checkpointing
/// and autocast are in it, of towers that are cut down: thin in blocks, low in picture size and
/// context length. What a row holds grows by the same with each block, and as a polynomial with the
/// size (of degree 1 in a ResNet's places, 2 in a transformer's), so that the count is exact, as
/// the whole model's would be, in a fraction of a second and little memory.
std::int64_t ActivationBytesPerRow(const ModelConfig& model, const LockOptions& lock,
                                   const Precision& precision, bool grad_checkpointing);

/// The same, counted over the whole model.
std::int64_t ActivationBytesPerRow(const ClipModel& model, std::optional<at::ScalarType> autocast);

}  // namespace fastclip
