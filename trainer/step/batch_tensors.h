#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Stream.h>

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "pipeline/loader/batch.h"
#include "trainer/base/upload.h"
#include "trainer/step/towers.h"

namespace fastclip {

/// CLIP's mean and standard deviation of red, green and blue, for values in [0, 1].
inline constexpr std::array kPictureMean = {0.48145466, 0.4578275, 0.40821073};
inline constexpr std::array kPictureDeviation = {0.26862954, 0.26130258, 0.27577711};

/// Device and dtype of a batch's tensors.
struct TensorTarget {
  at::Device device = at::kCPU;
  at::ScalarType dtype = at::kFloat;
  /// Trim captions to the longest of a micro-batch, rounded up to a multiple of 8 tokens: exact
  /// because of the causal mask.
  bool trim_text = true;
  /// With trim_text: the most groups by length that captions are cut into, each trimmed on its own.
  /// 0: as many as pay on the device (GroupCostsOn).
  int length_groups = 1;
  /// Images stay with the colours innermost, as the bytes come; false: they are copied plane by
  /// plane.
  bool channels_last = true;
  /// Copies to a GPU do not wait: the batch must live until the host has read something that was
  /// computed from it.
  bool non_blocking = false;
  /// StreamForCopies(): a GPU copies on it, while it still computes what was enqueued before.
  std::optional<c10::Stream> copies{};
  /// MicroBatchesOf: labels in place of captions.
  bool labels = false;
};

/// `host` in memory from which a GPU copies without a wait, if the target asks for that.
at::Tensor Pinned(const at::Tensor& host, const TensorTarget& target);

/// A copy of `host` for the target: trainer/base/upload.h.
at::Tensor Uploaded(const at::Tensor& host, const TensorTarget& target);

/// Converts uint8 [rows, size, size, 3] to [rows, 3, size, size], normalized by CLIP's mean and
/// deviation, in the layout of target.channels_last. The bytes are copied to the device as uint8;
/// the result does not refer to them.
at::Tensor ImageTensor(std::span<const std::uint8_t> pixels, std::int64_t rows, std::int64_t size,
                       const TensorTarget& target);

struct CaptionTensors {
  at::Tensor tokens;         ///< [captions, n] int64
  at::Tensor pool;           ///< [captions] int64, each below n
  CaptionGroups groups{};    ///< depend only on the lengths, the target and its kind of device
  at::Tensor groups_host{};  ///< where a GPU copies them from
};
/// `tokens` is [captions, context_length]; `pool` is the position of each end token. Reads nothing
/// from the device.
CaptionTensors CaptionsOf(std::span<const TokenId> tokens, std::span<const std::int64_t> pool,
                          std::int64_t context_length, const TensorTarget& target);

/// Patch dropout in training (https://arxiv.org/abs/2212.00794).
struct PatchDropout {
  double share = 0;          ///< fraction of dropped patches, in [0, 1); 0: none
  std::int64_t patches = 0;  ///< per image
  std::uint64_t seed = 0;
  /// Redraw each step instead of each epoch, for orders that repeat a record within an epoch.
  bool each_step = false;
};

/// Indices of the kept patches of each row: [rows, max(1, ⌊patches·(1 − share)⌋)] int64, ascending,
/// without repetition; undefined if share is 0. Depends only on (seed, epoch or step, SampleIndex):
/// the same for every world size, after a resume and in both passes over micro-batches.
at::Tensor KeptPatches(std::span<const std::int64_t> indices, std::int64_t epoch,
                       const PatchDropout& dropout);

/// Splits a training batch into `count` micro-batches, whose sizes differ by at most 1. Throws
/// std::invalid_argument if there are fewer rows.
std::vector<MicroBatch> MicroBatchesOf(const Batch& batch, int count, const TensorTarget& target,
                                       const PatchDropout& dropout = {});

}  // namespace fastclip
