#include "trainer/model/lock.h"

#include <fmt/format.h>

#include "pipeline/base/printable.h"
#include "trainer/model/attention.h"
#include "trainer/model/clip_model.h"

namespace fastclip {
namespace {

// Embeddings, a group a block, the projection.
std::int64_t GroupsOf(std::int64_t layers) { return ProjectionPart(layers) + 1; }

bool Whole(bool locked, std::int64_t unlocked) { return locked && unlocked == 0; }

}  // namespace

std::optional<LockFault> FaultOf(const ModelConfig& model, const LockOptions& lock) {
  const auto range = [](const char* option, std::int64_t unlocked, const char* tower, bool locked,
                        std::int64_t layers) -> std::optional<LockFault> {
    if (unlocked != 0 && !locked) {
      return LockFault{option, fmt::format("the {} tower is not locked; set lock_{} = true, or "
                                           "remove this key",
                                           tower, tower)};
    }
    if (unlocked >= 0 && unlocked <= GroupsOf(layers)) return std::nullopt;
    return LockFault{
        option,
        fmt::format("{} groups, but the {} tower with {} has {}: embeddings, blocks, projection",
                    unlocked, tower, Counted(layers, "layer"), GroupsOf(layers))};
  };
  if (model.vision.is_resnet() && lock.image_unlocked_groups != 0) {
    return LockFault{"lock_image_unlocked_groups", "a ResNet is locked as a whole; set it to 0"};
  }
  if (auto fault = range("lock_image_unlocked_groups", lock.image_unlocked_groups, "image",
                         lock.image, model.vision.layers)) {
    return fault;
  }
  if (lock.image_freeze_bn_stats && !lock.image) {
    return LockFault{"lock_image_freeze_bn_stats",
                     "the image tower is not locked; set lock_image = true, or remove this key"};
  }
  if (auto fault = range("lock_text_unlocked_layers", lock.text_unlocked_layers, "text", lock.text,
                         model.text.layers)) {
    return fault;
  }
  if (lock.text && !lock.text_freeze_layer_norm) {
    return LockFault{"lock_text_freeze_layer_norm",
                     "a locked text tower always locks its norms; set it to true"};
  }
  if (Whole(lock.image, lock.image_unlocked_groups) &&
      Whole(lock.text, lock.text_unlocked_layers)) {
    return LockFault{"lock_text",
                     "both towers are fully locked, so nothing is left to train; unlock one, or "
                     "some of its groups"};
  }
  return std::nullopt;
}

bool IsLocked(const ModelConfig& model, const LockOptions& lock, const Parameter& parameter) {
  if (parameter.role == Role::kAdded) return false;
  switch (parameter.tower) {
    case Tower::kNeither:
      return false;
    case Tower::kImage:
      if (!lock.image || model.vision.is_resnet()) return lock.image;
      return parameter.part < GroupsOf(model.vision.layers) - lock.image_unlocked_groups;
    case Tower::kText:
      return lock.text && parameter.part < GroupsOf(model.text.layers) - lock.text_unlocked_layers;
  }
  return false;
}

}  // namespace fastclip
