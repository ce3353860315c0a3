#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "trainer/base/named_tensors.h"
#include "trainer/model/clip_model.h"
#include "trainer/model/dropout.h"
#include "trainer/objective/per_side.h"

namespace fastclip {

/// Device tensors of (a part of) a step's rows.
struct MicroBatch {
  at::Tensor images;  ///< [b, 3, size, size], normalized
  at::Tensor tokens;  ///< [b, n] int64, trimmed to the longest caption
  at::Tensor pool;    ///< [b] int64
  /// [b, k] int64, ascending: the patches of an image that a ViT uses. Undefined: all.
  at::Tensor kept_patches{};
  at::Tensor kept_patches_host{};  ///< where a GPU copies them from
  CaptionGroups groups{};          ///< of the captions
  at::Tensor groups_host{};        ///< where a GPU copies them from
  /// [b] int64: classes, in place of captions, which are then undefined.
  at::Tensor labels{};
};

/// Forward and backward of both towers over the micro-batches of a step. With one micro-batch,
/// Backward uses the graph of Forward; with several, Forward keeps no graph and Backward runs each
/// micro-batch again (two passes, exact). A ResNet uses batch statistics of each micro-batch, and
/// updates running statistics only in Forward.
class Towers {
 public:
  /// `autocast`: dtype of matrix products and attention, if not the parameters'.
  explicit Towers(const ClipModel& model, std::optional<at::ScalarType> autocast = {});

  /// Features of all rows in order, detached: [b, d] each. `draw` is what masks of dropout depend
  /// on, besides the micro-batch; Backward uses the same.
  PerSide<at::Tensor> Forward(std::span<const MicroBatch> micro, std::uint64_t draw = 0);
  /// Adds to the parameters' .grad. The text tower comes first, so that its sums over ranks overlap
  /// with the image tower's backward. `gradients` are for the rows of the last Forward.
  /// `before_last` is called before the last micro-batch, which completes the gradients.
  void Backward(
      std::span<const MicroBatch> micro, const PerSide<at::Tensor>& gradients,
      const std::function<void()>& before_last = [] {});

  /// The towers' trainable parameters, roughly in the order in which Backward completes their
  /// gradients.
  static NamedTensors BackwardOrder(const std::vector<Parameter>& parameters);

 private:
  at::Tensor EncodeImage(const MicroBatch& batch, TowerMode mode) const;
  at::Tensor EncodeText(const MicroBatch& batch) const;

  DropoutScope MasksOf(std::size_t micro) const;

  const ClipModel& model_;
  std::optional<at::ScalarType> autocast_;
  PerSide<bool> learns_;      // whether a tower has parameters that are not locked
  std::uint64_t draw_ = 0;    // of the last Forward
  PerSide<at::Tensor> kept_;  // features with their graph, if there is one micro-batch
};

}  // namespace fastclip
