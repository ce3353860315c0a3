#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

namespace fastclip {

/// Which tower a parameter belongs to.
enum class Tower : std::uint8_t { kNeither, kImage, kText };

/// Kind of a parameter. Optimizers, locks and the order of gradients depend on it.
enum class Role : std::uint8_t {
  kMatrix,       ///< of a linear map or a convolution
  kHead,         ///< the projection into the common space
  kEmbedding,    ///< of tokens, positions or the class token
  kNorm,         ///< gain or offset of a normalisation
  kOffset,       ///< a bias: of a linear map, or of the logits
  kTemperature,  ///< logit_scale
  kAdded,        ///< not in a plain CLIP: never locked, no decay, may be missing from a file
};

/// A parameter of a model. Copying copies handles, not numbers.
struct Parameter {
  std::string name;  ///< OpenCLIP's
  at::Tensor tensor;
  Tower tower = Tower::kNeither;
  Role role = Role::kMatrix;
  /// Index of its part of a transformer tower, in forward order: 0 for the embeddings, then one per
  /// block (the last with the norm after it), last the projection. 0 in a ResNet.
  std::int64_t part = 0;
};

}  // namespace fastclip
