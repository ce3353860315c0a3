#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

namespace fastclip {

/// Which tower a parameter belongs to.
enum class Tower : std::uint8_t { kNeither, kImage, kText };

/// What a parameter is to its model. Optimizers, locks and the order of gradients go by it.
enum class Role : std::uint8_t {
  kMatrix,       ///< of a linear map or a convolution
  kHead,         ///< the projection into the common space
  kEmbedding,    ///< of tokens, places or the class token
  kNorm,         ///< gain or offset of a normalisation
  kOffset,       ///< added to what a map gives, or to the logits
  kTemperature,  ///< logit_scale
};

/// A parameter of a model. Copying copies handles, not numbers.
struct Parameter {
  std::string name;  ///< OpenCLIP's
  at::Tensor tensor;
  Tower tower = Tower::kNeither;
  Role role = Role::kMatrix;
  /// Its part of a transformer tower, in the order of the forward pass: 0 the embeddings, then a
  /// number a block (the last one with the norm behind it), last the projection. 0 in a ResNet.
  std::int64_t part = 0;
};

}  // namespace fastclip
