#include "trainer/adapt/class_head.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <stdexcept>

#include "pipeline/base/printable.h"
#include "trainer/model/attention.h"

namespace fastclip {

HeadInput HeadInputOf(const std::string& head) {
  if (head == "linear") return HeadInput::kPooled;
  if (head == "zeroshot") return HeadInput::kFeatures;
  throw std::invalid_argument(
      fmt::format("unknown head '{}'; use linear or zeroshot", Printable(head)));
}

std::int64_t HeadWidth(HeadInput input, const ModelConfig& model) {
  return input == HeadInput::kPooled ? model.vision.width : model.embed_dim;
}

at::Tensor ClassHead::Scores(const at::Tensor& input) const {
  return at::linear(input.to(weight.scalar_type()), weight, bias);
}

void AddClassHead(FreshWeights& weights, const ModelConfig& model, HeadInput input,
                  std::int64_t classes) {
  weights.At(Tower::kImage, model.vision.is_resnet() ? 0 : ProjectionPart(model.vision.layers));
  weights.Constant(kHeadWeight, {classes, HeadWidth(input, model)}, 0, Role::kAdded);
  weights.Constant(kHeadBias, {classes}, 0, Role::kAdded);
}

ClassHead HeadOf(const NamedTensors& tensors) {
  ClassHead head;
  for (const auto& [name, tensor] : tensors) {
    if (name == kHeadWeight) head.weight = tensor;
    if (name == kHeadBias) head.bias = tensor;
  }
  return head;
}

at::Tensor EncodeFor(HeadInput input, const ClipModel& model, const at::Tensor& images,
                     TowerMode mode, const at::Tensor& kept_patches) {
  return input == HeadInput::kPooled ? model.EncodePooled(images, kept_patches)
                                     : model.EncodeImage(images, mode, kept_patches);
}

}  // namespace fastclip
