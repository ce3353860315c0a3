#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "trainer/base/parameter.h"

namespace fastclip {

struct ModelConfig;

/// Towers that keep their weights while the other learns to fit them (LiT,
/// https://arxiv.org/abs/2111.07991), under the names of OpenCLIP's options and with their meaning.
///
/// A transformer tower has layers + 2 groups, Parameter's parts: its embeddings (and ln_pre), each
/// block but the last, the last block with the norm behind it, and the projection. `logit_scale`
/// and `logit_bias` belong to neither tower and are never locked.
struct LockOptions {
  bool image = false;                      ///< lock_image
  std::int64_t image_unlocked_groups = 0;  ///< the last n groups learn all the same; a ViT's only
  /// A locked ResNet normalises by its running statistics in training too, and they stay. Without
  /// it they follow the data even where the weights are locked. A ViT has none.
  bool image_freeze_bn_stats = false;
  bool text = false;                      ///< lock_text
  std::int64_t text_unlocked_layers = 0;  ///< the last n groups learn all the same
  /// OpenCLIP locks norms like other weights, and has no other way.
  bool text_freeze_layer_norm = true;
};

/// An option of LockOptions, as configs name it, and what is wrong with it.
struct LockFault {
  std::string option;
  std::string reason;
};
/// Nothing where the options fit the model: more groups than there are, some groups of a ResNet,
/// options of a tower that is not locked, nothing left to train.
std::optional<LockFault> FaultOf(const ModelConfig& model, const LockOptions& lock);

/// Whether a parameter keeps its numbers. REQUIRES: no fault.
bool IsLocked(const ModelConfig& model, const LockOptions& lock, const Parameter& parameter);

}  // namespace fastclip
