#pragma once

#include <cstdint>

#include "pipeline/records/record.h"

namespace fastclip {

/// A box of an image in whole pixels.
struct CropBox {
  int top = 0;
  int left = 0;
  int height = 0;
  int width = 0;
};

struct AugmentOptions {
  /// Share of the image's area that a training crop covers, and its aspect ratio (width/height).
  double scale_min = 0.9;
  double scale_max = 1.0;
  double ratio_min = 3.0 / 4.0;
  double ratio_max = 4.0 / 3.0;
};

/// RandomResizedCrop's box (torchvision's rule: ten draws, then the central fallback) as a function
/// of (seed, epoch, index). Uses IEEE 754 doubles with exact sqrt and glibc's exp and log; frozen
/// test vectors show if a machine differs. Throws std::invalid_argument for an empty image.
CropBox RandomCrop(int width, int height, const AugmentOptions& options, std::uint64_t seed,
                   std::int64_t epoch, SampleIndex index);

/// The index of the caption to train on in this epoch, drawn by weight as a function of (seed,
/// epoch, index). Weights that are not finite or not positive count as 0; if all do, the captions
/// are equally likely. Throws std::invalid_argument if there is none.
int ChooseCaption(std::span<const Caption> captions, std::uint64_t seed, std::int64_t epoch,
                  SampleIndex index);

}  // namespace fastclip
