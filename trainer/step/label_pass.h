#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <span>

#include "trainer/adapt/class_head.h"
#include "trainer/objective/contrastive_objective.h"
#include "trainer/step/towers.h"

namespace fastclip {

/// Forward and backward of the image tower and its class head over the micro-batches of a step, for
/// the mean cross-entropy of the labels over the global batch. Rows do not depend on each other, so
/// each micro-batch is one pass and ranks exchange nothing but gradients. The text tower does not
/// run.
class LabelPass {
 public:
  /// `batch_size`: rows of all ranks. REQUIRES: the model has a head.
  LabelPass(const ClipModel& model, HeadInput input, std::optional<at::ScalarType> autocast,
            std::int64_t batch_size);

  /// Adds to the parameters' .grad, `scale` times (undefined: 1). `draw` is what masks of dropout
  /// depend on, besides the micro-batch. `before_last` is called before the last micro-batch's
  /// backward pass. Returns the report alone: this rank's share of the loss, which is also its
  /// contrastive_loss, and of the rows whose own class has the largest score.
  ObjectiveResult Run(std::span<const MicroBatch> micro, std::uint64_t draw,
                      const at::Tensor& scale, const std::function<void()>& before_last) const;

 private:
  const ClipModel& model_;
  ClassHead head_;
  HeadInput input_;
  std::optional<at::ScalarType> autocast_;
  std::int64_t batch_size_;
};

}  // namespace fastclip
