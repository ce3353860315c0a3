#pragma once

#include <cstdint>

#include "trainer/eval/encode_set.h"

namespace fastclip {

/// CLIP's loss on a set that was not trained on: the mean over both directions of the cross-entropy
/// of each image against the captions of its batch, at the temperature exp(-logit_scale).
///
/// Each image is paired with its first caption; images without one are left out. Batches are
/// `batch_size` pairs in the order of the set, and a batch counts by its pairs, as in OpenCLIP's
/// "clip_val_loss". A larger batch gives a larger loss (chance is ln(batch_size)), so training uses
/// its own batch size. NaN for a set without pairs.
double ValidationLoss(const EncodedSet& set, double logit_scale, std::int64_t batch_size);

}  // namespace fastclip
