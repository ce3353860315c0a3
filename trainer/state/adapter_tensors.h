#pragma once

#include "trainer/base/named_tensors.h"
#include "trainer/model/clip_model.h"

namespace fastclip {

/// What an adapted model has learned: the tuners' parameters, which columns S²FT trains
/// ("SITE.index"), the model's parameters that train, and logit_scale and logit_bias even if they
/// do not. Handles, not copies.
NamedTensors AdapterTensors(const ClipModel& model);

/// What a checkpoint holds of a model: AdapterTensors() of an adapted one, all parameters and
/// buffers of others.
NamedTensors SavedTensors(const ClipModel& model);

}  // namespace fastclip
