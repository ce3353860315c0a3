#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "pipeline/loader/batch.h"
#include "trainer/step/towers.h"

namespace fastclip {

/// CLIP's mean and deviation of red, green and blue, of numbers in [0, 1].
inline constexpr std::array kPictureMean = {0.48145466, 0.4578275, 0.40821073};
inline constexpr std::array kPictureDeviation = {0.26862954, 0.26130258, 0.27577711};

/// Where a batch's tensors go and what they are made of.
struct TensorTarget {
  at::Device device = at::kCPU;
  at::ScalarType dtype = at::kFloat;
  /// Cut captions to the longest of a micro-batch, rounded up to 8 ids: exact under the causal
  /// mask.
  bool trim_text = true;
};

/// [rows, 3, size, size], channels_last, normalised by CLIP's mean and deviation, of uint8
/// [rows, size, size, 3]. The bytes travel to the device; nothing refers to them afterwards.
at::Tensor ImageTensor(std::span<const std::uint8_t> pixels, std::int64_t rows, std::int64_t size,
                       const TensorTarget& target);

struct CaptionTensors {
  at::Tensor tokens;  ///< [captions, n] int64
  at::Tensor pool;    ///< [captions] int64, each below n
};
/// `tokens` is [captions, context_length]; `pool` is the place of each one's end token.
CaptionTensors CaptionsOf(std::span<const TokenId> tokens, std::span<const std::int64_t> pool,
                          std::int64_t context_length, const TensorTarget& target);

/// Patches of a picture that training leaves out (https://arxiv.org/abs/2212.00794).
struct PatchDropout {
  double share = 0;          ///< of the patches, in [0, 1); 0: none
  std::int64_t patches = 0;  ///< that a picture has
  std::uint64_t seed = 0;
  /// Others each step, not each epoch: for orders that bring a record more than once in an epoch.
  bool each_step = false;
};

/// Which patches of each row are kept: [rows, max(1, ⌊patches·(1 − share)⌋)] int64, ascending,
/// drawn without repetition; undefined where share is 0. A function of (seed, epoch or step,
/// SampleIndex): the same for every world size, in a resume and in both passes over micro-batches.
at::Tensor KeptPatches(std::span<const std::int64_t> indices, std::int64_t epoch,
                       const PatchDropout& dropout, at::Device device = at::kCPU);

/// The rows of a training batch in `count` runs, whose lengths differ by one at most. Throws
/// std::invalid_argument where there are fewer rows than runs.
std::vector<MicroBatch> MicroBatchesOf(const Batch& batch, int count, const TensorTarget& target,
                                       const PatchDropout& dropout = {});

}  // namespace fastclip
