#include "trainer/towers.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

namespace fastclip {
namespace {

PerSide<at::Tensor> Encode(const ClipModel& model, const MicroBatch& batch, TowerMode mode) {
  return {model.EncodeImage(batch.images, mode), model.EncodeText(batch.tokens, batch.pool)};
}

void BackwardFrom(const PerSide<at::Tensor>& features, const PerSide<at::Tensor>& gradients) {
  features.image.backward(gradients.image);
  features.text.backward(gradients.text);
}

}  // namespace

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
    BackwardFrom(features, gradients);
    return;
  }
  std::int64_t first = 0;
  for (const MicroBatch& batch : micro) {
    const PerSide<at::Tensor> features = Encode(model_, batch, TowerMode::kTrainAgain);
    const std::int64_t rows = features.image.size(0);
    BackwardFrom(features,
                 {gradients.image.narrow(0, first, rows), gradients.text.narrow(0, first, rows)});
    first += rows;
  }
}

}  // namespace fastclip
