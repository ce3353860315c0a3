#pragma once

#include <string>

#include "trainer/base/named_tensors.h"
#include "trainer/model/clip_model.h"

namespace fastclip {

/// The identity of the weights that an adapter belongs to, as 64 hexadecimal digits.
///
/// SHA-256 of one line "NAME 144x48 DIGEST\n" for each tensor, by name in byte order; DIGEST is the
/// SHA-256 of its values as float32, little-endian. So a float16 file and its conversion to float32
/// are the same base. The shape of one element is empty. Left out: integers, and logit_bias, which
/// a file need not hold. `tensors` have OpenCLIP's names.
std::string BaseHash(const NamedTensors& tensors);

/// Of a model before its adapter trains: its own parameters and buffers.
std::string BaseHash(const ClipModel& model);

}  // namespace fastclip
