#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "trainer/base/parameter.h"

namespace fastclip {

struct ModelConfig;

/// Frozen towers (LiT, https://arxiv.org/abs/2111.07991), with the names and meaning of OpenCLIP's
/// options.
///
/// A transformer tower has layers + 2 groups, Parameter's parts: its embeddings (and ln_pre), each
/// block but the last, the last block with the norm after it, and the projection. `logit_scale`
/// and `logit_bias` belong to neither tower and are never locked.
struct LockOptions {
  bool image = false;                      ///< lock_image
  std::int64_t image_unlocked_groups = 0;  ///< the last n groups stay trainable; ViT only
  /// A locked ResNet normalizes by its running statistics in training and does not update them. If
  /// false, they are updated even though the weights are locked. No effect on a ViT.
  bool image_freeze_bn_stats = false;
  bool text = false;                      ///< lock_text
  std::int64_t text_unlocked_layers = 0;  ///< the last n groups stay trainable
  /// Must be true: norms are locked like other weights, as in OpenCLIP.
  bool text_freeze_layer_norm = true;
};

/// An invalid option of LockOptions, by its config name, with the reason.
struct LockFault {
  std::string option;
  std::string reason;
};
/// The first fault, or nothing if the options fit the model. Faults: more groups than there are,
/// some groups of a ResNet, options of a tower that is not locked, nothing left to train.
std::optional<LockFault> FaultOf(const ModelConfig& model, const LockOptions& lock);

/// Whether a parameter is frozen. REQUIRES: no fault.
bool IsLocked(const ModelConfig& model, const LockOptions& lock, const Parameter& parameter);

}  // namespace fastclip
