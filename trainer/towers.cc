#include "trainer/towers.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

namespace fastclip {
namespace {

at::Tensor EncodeImage(const ClipModel& model, const MicroBatch& batch, TowerMode mode) {
  return model.EncodeImage(batch.images, mode, batch.kept_patches);
}

at::Tensor EncodeText(const ClipModel& model, const MicroBatch& batch) {
  return model.EncodeText(batch.tokens, batch.pool);
}

PerSide<at::Tensor> Encode(const ClipModel& model, const MicroBatch& batch, TowerMode mode) {
  return {EncodeImage(model, batch, mode), EncodeText(model, batch)};
}

// A tower that is locked as a whole has no graph.
void BackwardFrom(const at::Tensor& features, const at::Tensor& gradient) {
  if (features.requires_grad()) features.backward(gradient);
}

}  // namespace

Towers::Towers(const ClipModel& model) : model_(model), learns_{false, false} {
  for (const auto& [name, parameter] : model.trainable()) {
    if (name == "logit_scale") continue;
    (name.starts_with("visual.") ? learns_.image : learns_.text) = true;
  }
}

PerSide<at::Tensor> Towers::Forward(std::span<const MicroBatch> micro) {
  kept_ = {};
  if (micro.size() == 1) {
    kept_ = Encode(model_, micro[0], TowerMode::kTrain);
    return {kept_.image.detach(), kept_.text.detach()};
  }
  const at::NoGradGuard no_grad;
  PerSide<std::vector<at::Tensor>> parts;
  for (const MicroBatch& batch : micro) {
    const PerSide<at::Tensor> features = Encode(model_, batch, TowerMode::kTrain);
    parts.image.push_back(features.image);
    parts.text.push_back(features.text);
  }
  return {at::cat(parts.image), at::cat(parts.text)};
}

void Towers::Backward(std::span<const MicroBatch> micro, const PerSide<at::Tensor>& gradients) {
  if (micro.size() == 1) {
    // Moved out: the graph is freed here, not at the next step's Forward.
    const PerSide<at::Tensor> features = std::move(kept_);
    BackwardFrom(features.image, gradients.image);
    BackwardFrom(features.text, gradients.text);
    return;
  }
  std::int64_t first = 0;
  for (const MicroBatch& batch : micro) {
    const std::int64_t rows = batch.pool.size(0);
    // One tower after the other: the graphs of both never stand side by side.
    if (learns_.image) {
      EncodeImage(model_, batch, TowerMode::kTrainAgain)
          .backward(gradients.image.narrow(0, first, rows));
    }
    if (learns_.text) EncodeText(model_, batch).backward(gradients.text.narrow(0, first, rows));
    first += rows;
  }
}

}  // namespace fastclip
