#pragma once

#include <ATen/core/Tensor.h>

#include "trainer/model/attention.h"
#include "trainer/model/clip_model.h"

namespace fastclip {

/// OpenCLIP's text transformer: causal, read at the end token.
class TextTransformer {
 public:
  /// Creates its weights without a prefix, as in CLIP's state_dict.
  TextTransformer(FreshWeights& weights, const ModelConfig& config);

  /// Unnormalized features [b, embed_dim] of tokens [b, n], read at the positions pool [b]. Because
  /// of the causal mask, any n beyond the last position gives the same result, and so do groups.
  at::Tensor Forward(const at::Tensor& tokens, const at::Tensor& pool,
                     const CaptionGroups& of) const;
  Transformer& transformer() { return transformer_; }
  void set_grad_checkpointing(bool on) { transformer_.set_grad_checkpointing(on); }
  /// Precision::text_residual_fp32.
  void set_residual_fp32(bool on) { residual_fp32_ = on; }

 private:
  at::Tensor Embed(const at::Tensor& tokens, const SequenceGroups& groups) const;
  at::Tensor Transform(at::Tensor x, const SequenceGroups& groups, const at::Tensor& pool) const;

  at::Tensor positional_embedding_, text_projection_;
  Transformer transformer_;
  at::Tensor token_embedding_weight_;
  LayerNorm ln_final_;
  bool residual_fp32_ = true;
};

}  // namespace fastclip
