#pragma once

#include <ATen/core/Tensor.h>

#include "trainer/model/attention.h"
#include "trainer/model/clip_model.h"

namespace fastclip {

/// OpenCLIP's VisionTransformer: patches and a class token, whose last feature is projected.
class VisionTransformer {
 public:
  /// Makes its weights under "visual.".
  VisionTransformer(FreshWeights& weights, const ModelConfig& config);

  /// [b, embed_dim], not normalised, of images [b, 3, size, size]; fastest where they are
  /// channels_last. Of the patches, in rows from the top left, only `kept` [b, k] int64 are seen
  /// (all where it is undefined): the others cost nothing.
  at::Tensor Forward(const at::Tensor& images, const at::Tensor& kept) const;
  void set_grad_checkpointing(bool on) { transformer_.set_grad_checkpointing(on); }

 private:
  at::Tensor EmbedPatches(const at::Tensor& images, const at::Tensor& kept) const;

  VisionConfig config_;
  at::Tensor class_embedding_, positional_embedding_, proj_;
  at::Tensor conv1_weight_;  // [width, 3, patch, patch]
  LayerNorm ln_pre_;
  Transformer transformer_;
  LayerNorm ln_post_;
};

}  // namespace fastclip
