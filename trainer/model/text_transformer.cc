#include "trainer/model/text_transformer.h"

#include <ATen/ATen.h>

#include <cmath>

namespace fastclip {
namespace {

TransformerOptions OptionsOf(const ModelConfig& config) {
  const TextConfig& text = config.text;
  return {.width = text.width,
          .layers = text.layers,
          .heads = text.heads,
          .mlp_width = static_cast<std::int64_t>(text.width * text.mlp_ratio),
          .quick_gelu = config.quick_gelu,
          .causal = true,
          .start = BlockStart::kDepthScaledNormal};
}

}  // namespace

TextTransformer::TextTransformer(FreshWeights& weights, const ModelConfig& config)
    : positional_embedding_(weights.Normal("positional_embedding",
                                           {config.text.context_length, config.text.width}, 0.01)),
      text_projection_(weights.Normal("text_projection", {config.text.width, config.embed_dim},
                                      1 / std::sqrt(static_cast<double>(config.text.width)))),
      transformer_(weights, "transformer", OptionsOf(config)),
      token_embedding_weight_(weights.Normal("token_embedding.weight",
                                             {config.text.vocab_size, config.text.width}, 0.02)),
      ln_final_(weights, "ln_final", config.text.width) {}

at::Tensor TextTransformer::Forward(const at::Tensor& tokens, const at::Tensor& pool) const {
  const std::int64_t batch = tokens.size(0), n = tokens.size(1);
  const at::Tensor x = at::embedding(token_embedding_weight_, tokens)
                           .add(positional_embedding_.narrow(0, 0, n))
                           .view({batch * n, -1});
  return at::mm(ln_final_(transformer_.Forward(x, batch, pool)), text_projection_);
}

}  // namespace fastclip
