#pragma once

#include <string>

#include "trainer/adapters/adapter.h"

namespace fastclip {

/// Reads tensors and config of an adapter in PEFT's layout, of CLIPModel or of OpenCLIP, in any
/// floating-point type. `like` has the model (and the base, if it is known).
///
/// A pair on OpenCLIP's in_proj becomes pairs of q, k and v: with the same A, or with the part of
/// it that each reads. A pair of zeros, which can never train, is left out. `plain_names`: tensors
/// without PEFT's prefix are parameters of the model itself, under OpenCLIP's names, as ToPeft()
/// writes them.
///
/// Throws std::runtime_error with `where` and the name of what is not supported: DoRA, biases,
/// other modules than the six maps of a block, modules_to_save other than the projections.
Adapter FromPeft(const std::string& config, const NamedTensors& tensors, const Adapter& like,
                 bool plain_names, const std::string& where);

}  // namespace fastclip
