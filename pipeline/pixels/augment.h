#pragma once

#include <cstdint>

#include "pipeline/records/record.h"

namespace fastclip {

/// A box of a picture in whole pixels.
struct CropBox {
  int top = 0;
  int left = 0;
  int height = 0;
  int width = 0;
};

struct AugmentOptions {
  /// Share of the picture's area that a training crop covers, and its aspect ratio (width/height).
  double scale_min = 0.9;
  double scale_max = 1.0;
  double ratio_min = 3.0 / 4.0;
  double ratio_max = 4.0 / 3.0;
};

/// RandomResizedCrop's box (torchvision's rule: ten draws, then the central fallback) as a function
/// of (seed, epoch, index) alone. Doubles as IEEE 754 and glibc compute them: sqrt is exact, exp
/// and log are glibc's; frozen vectors in the tests tell where a machine differs. Throws
/// std::invalid_argument for an empty picture.
CropBox RandomCrop(int width, int height, const AugmentOptions& options, std::uint64_t seed,
                   std::int64_t epoch, SampleIndex index);

/// Which of a record's captions this epoch trains on: by weight, a function of (seed, epoch,
/// index). Weights that are not finite or not positive count as 0; where all are, the captions are
/// equally likely. Throws std::invalid_argument where there is none.
int ChooseCaption(std::span<const Caption> captions, std::uint64_t seed, std::int64_t epoch,
                  SampleIndex index);

}  // namespace fastclip
