#pragma once

#include <ATen/core/Tensor.h>

#include "trainer/model/attention.h"
#include "trainer/model/clip_model.h"

namespace fastclip {

/// OpenCLIP's text transformer: causal, read at the end token.
class TextTransformer {
 public:
  /// Makes its weights under no prefix, as CLIP's state_dict has them.
  TextTransformer(FreshWeights& weights, const ModelConfig& config);

  /// [b, embed_dim], not normalised, of tokens [b, n] read at the places pool [b]. Under the causal
  /// mask any n beyond the last place gives the same result.
  at::Tensor Forward(const at::Tensor& tokens, const at::Tensor& pool) const;
  void set_grad_checkpointing(bool on) { transformer_.set_grad_checkpointing(on); }

 private:
  at::Tensor positional_embedding_, text_projection_;
  Transformer transformer_;
  at::Tensor token_embedding_weight_;
  LayerNorm ln_final_;
};

}  // namespace fastclip
