#pragma once

#include <ATen/core/Tensor.h>

#include "trainer/model/attention.h"
#include "trainer/model/clip_model.h"

namespace fastclip {

/// OpenCLIP's VisionTransformer: patches and a class token, whose final feature is projected.
class VisionTransformer {
 public:
  /// Creates its weights under "visual.".
  VisionTransformer(FreshWeights& weights, const ModelConfig& config);

  /// Unnormalized features [b, embed_dim] of images [b, 3, size, size]; fastest if they are
  /// channels_last. Uses only the patches `kept` [b, k] int64 (row by row from the top left), or
  /// all if undefined; the others cost nothing.
  at::Tensor Forward(const at::Tensor& images, const at::Tensor& kept) const;
  /// The same before the projection: [b, width].
  at::Tensor Pooled(const at::Tensor& images, const at::Tensor& kept) const;
  Transformer& transformer() { return transformer_; }
  void set_grad_checkpointing(bool on) { transformer_.set_grad_checkpointing(on); }
  /// Precision::image_residual_fp32.
  void set_residual_fp32(bool on) { residual_fp32_ = on; }

 private:
  at::Tensor EmbedPatches(const at::Tensor& images, const at::Tensor& kept) const;

  VisionConfig config_;
  at::Tensor class_embedding_, positional_embedding_, proj_;
  at::Tensor conv1_weight_;  // [width, 3, patch, patch]
  LayerNorm ln_pre_;
  Transformer transformer_;
  LayerNorm ln_post_;
  bool residual_fp32_ = false;
};

}  // namespace fastclip
