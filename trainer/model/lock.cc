#include "trainer/model/lock.h"

#include <fmt/format.h>

#include <charconv>

#include "trainer/model/clip_model.h"

namespace fastclip {
namespace {

// Embeddings, a group a block, the projection.
std::int64_t GroupsOf(std::int64_t layers) { return layers + 2; }

// The group of a transformer tower's parameter, by its name without "visual.".
std::int64_t GroupOf(std::string_view name, std::int64_t layers) {
  constexpr std::string_view kBlocks = "transformer.resblocks.";
  if (name == "proj" || name == "text_projection") return layers + 1;
  if (name.starts_with("ln_post.") || name.starts_with("ln_final.")) return layers;
  if (!name.starts_with(kBlocks)) return 0;
  std::int64_t block = 0;
  std::from_chars(name.data() + kBlocks.size(), name.data() + name.size(), block);
  return block + 1;
}

bool Whole(bool locked, std::int64_t unlocked) { return locked && unlocked == 0; }

}  // namespace

std::optional<LockFault> FaultOf(const ModelConfig& model, const LockOptions& lock) {
  const auto range = [](const char* option, std::int64_t unlocked, const char* tower, bool locked,
                        std::int64_t layers) -> std::optional<LockFault> {
    if (unlocked != 0 && !locked) {
      return LockFault{option, fmt::format("the {} tower is not locked; set lock_{} = true, or "
                                           "leave this out",
                                           tower, tower)};
    }
    if (unlocked >= 0 && unlocked <= GroupsOf(layers)) return std::nullopt;
    return LockFault{
        option, fmt::format("{} groups, but the {} tower of {} layers has {}: embeddings, blocks, "
                            "projection",
                            unlocked, tower, layers, GroupsOf(layers))};
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
                     "the image tower is not locked; set lock_image = true, or leave this out"};
  }
  if (auto fault = range("lock_text_unlocked_layers", lock.text_unlocked_layers, "text", lock.text,
                         model.text.layers)) {
    return fault;
  }
  if (lock.text && !lock.text_freeze_layer_norm) {
    return LockFault{"lock_text_freeze_layer_norm",
                     "a locked text tower keeps its norms as other weights; set it to true"};
  }
  if (Whole(lock.image, lock.image_unlocked_groups) &&
      Whole(lock.text, lock.text_unlocked_layers)) {
    return LockFault{"lock_text",
                     "the image tower is locked as a whole too, and nothing is left to train; "
                     "unlock one, or some of its groups"};
  }
  return std::nullopt;
}

bool IsLocked(const ModelConfig& model, const LockOptions& lock, std::string_view name) {
  constexpr std::string_view kVisual = "visual.";
  if (name == "logit_scale" || name == "logit_bias") return false;
  if (name.starts_with(kVisual)) {
    if (!lock.image || model.vision.is_resnet()) return lock.image;
    name.remove_prefix(kVisual.size());
    return GroupOf(name, model.vision.layers) <
           GroupsOf(model.vision.layers) - lock.image_unlocked_groups;
  }
  return lock.text &&
         GroupOf(name, model.text.layers) < GroupsOf(model.text.layers) - lock.text_unlocked_layers;
}

}  // namespace fastclip
