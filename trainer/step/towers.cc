#include "trainer/step/towers.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <functional>
#include <ranges>
#include <utility>

#include "pipeline/base/counter_random.h"
#include "trainer/model/autocast.h"

namespace fastclip {
namespace {

// A tower that is locked as a whole, or for a time, has no graph.
void BackwardFrom(const at::Tensor& features, const at::Tensor& gradient) {
  if (features.requires_grad()) features.backward(gradient);
}

}  // namespace

at::Tensor Towers::EncodeImage(const MicroBatch& batch, TowerMode mode) const {
  const AutocastGuard autocast(batch.images.device().type(), autocast_);
  return model_.EncodeImage(batch.images, mode, batch.kept_patches);
}

at::Tensor Towers::EncodeText(const MicroBatch& batch) const {
  const AutocastGuard autocast(batch.images.device().type(), autocast_);
  return model_.EncodeText(batch.tokens, batch.pool, batch.groups);
}

Towers::Towers(const ClipModel& model, std::optional<at::ScalarType> autocast)
    : model_(model), autocast_(autocast), learns_{false, false} {
  for (const Parameter& parameter : model.described()) {
    if (!parameter.tensor.requires_grad()) continue;
    learns_.image |= parameter.tower == Tower::kImage;
    learns_.text |= parameter.tower == Tower::kText;
  }
}

DropoutScope Towers::MasksOf(std::size_t micro) const {
  return {model_.dropout(), Mix(draw_, micro)};
}

PerSide<at::Tensor> Towers::Forward(std::span<const MicroBatch> micro, std::uint64_t draw) {
  kept_ = {};
  draw_ = draw;
  if (micro.size() == 1) {
    const DropoutScope masks = MasksOf(0);
    kept_ = {EncodeImage(micro[0], TowerMode::kTrain), EncodeText(micro[0])};
    return {kept_.image.detach(), kept_.text.detach()};
  }
  const at::NoGradGuard no_grad;
  PerSide<std::vector<at::Tensor>> parts;
  for (std::size_t i = 0; i < micro.size(); ++i) {
    const DropoutScope masks = MasksOf(i);
    parts.image.push_back(EncodeImage(micro[i], TowerMode::kTrain));
    parts.text.push_back(EncodeText(micro[i]));
  }
  return {at::cat(parts.image), at::cat(parts.text)};
}

void Towers::Backward(std::span<const MicroBatch> micro, const PerSide<at::Tensor>& gradients,
                      const std::function<void()>& before_last) {
  if (micro.size() == 1) {
    // Moved out: the graph is freed here, not at the next step's Forward.
    const PerSide<at::Tensor> features = std::move(kept_);
    before_last();
    const DropoutScope masks = MasksOf(0);
    BackwardFrom(features.text, gradients.text);
    BackwardFrom(features.image, gradients.image);
    return;
  }
  std::int64_t first = 0;
  for (std::size_t i = 0; i < micro.size(); ++i) {
    const MicroBatch& batch = micro[i];
    const DropoutScope masks = MasksOf(i);
    const std::int64_t rows = batch.pool.size(0);
    if (i + 1 == micro.size()) before_last();
    // One tower after the other: the graphs of both never stand side by side.
    if (learns_.text) BackwardFrom(EncodeText(batch), gradients.text.narrow(0, first, rows));
    if (learns_.image) {
      BackwardFrom(EncodeImage(batch, TowerMode::kTrainAgain),
                   gradients.image.narrow(0, first, rows));
    }
    first += rows;
  }
}

NamedTensors Towers::BackwardOrder(const std::vector<Parameter>& parameters) {
  std::vector<const Parameter*> later;  // the later in forward, the earlier its gradient
  for (const Parameter& parameter : std::views::reverse(parameters)) {
    if (parameter.tower != Tower::kNeither && parameter.tensor.requires_grad()) {
      later.push_back(&parameter);
    }
  }
  std::ranges::stable_sort(later, std::greater<>(), [](const Parameter* parameter) {
    return std::pair(parameter->tower == Tower::kText, parameter->part);
  });
  NamedTensors order;
  for (const Parameter* parameter : later) order.emplace_back(parameter->name, parameter->tensor);
  return order;
}

}  // namespace fastclip
