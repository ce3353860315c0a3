#pragma once

#include <cstdint>
#include <optional>

#include "trainer/base/precision.h"
#include "trainer/model/clip_model.h"

namespace fastclip {

/// Bytes that a row of a micro-batch holds between forward and backward pass, including its image
/// and a caption of full length.
///
/// Counted over forward passes of a few rows on the CPU, which includes activation checkpointing
/// and autocast, with reduced towers: few blocks, small image size and context length. The bytes
/// grow linearly with blocks and polynomially with the size (degree 1 in a ResNet's positions, 2 in
/// a transformer's), so the extrapolation is exact and takes a fraction of a second and little
/// memory.
///
/// `on_gpu`: with the types of a GPU, whose autocast runs layer norms in float32 where the model
/// does not choose their type itself.
std::int64_t ActivationBytesPerRow(const ModelConfig& model, const LockOptions& lock,
                                   const Precision& precision, bool grad_checkpointing,
                                   bool on_gpu = false);

/// The same, counted over the whole model.
std::int64_t ActivationBytesPerRow(const ClipModel& model, std::optional<at::ScalarType> autocast);

/// The most bytes that an image or a caption of full length takes at once in an evaluation, whose
/// passes keep no gradients and are in the type of the parameters. Counted in the same way, but
/// other sizes have their peak at other ops: within 30%.
std::int64_t EvaluationBytesPerRow(const ModelConfig& model, at::ScalarType parameters);

}  // namespace fastclip
