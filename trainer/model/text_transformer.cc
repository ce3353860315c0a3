#include "trainer/model/text_transformer.h"

#include <ATen/ATen.h>

#include <cmath>

namespace fastclip {
namespace {

TransformerOptions OptionsOf(const ModelConfig& config) {
  const TextConfig& text = config.text;
  const BlockShape block{.heads = text.heads,
                         .qk_dim = text.width / text.heads,
                         .v_dim = text.width / text.heads,
                         .ffn = static_cast<std::int64_t>(text.width * text.mlp_ratio)};
  return {.tower = Tower::kText,
          .width = text.width,
          .blocks = std::vector(static_cast<std::size_t>(text.layers), block),
          .quick_gelu = config.quick_gelu,
          .causal = true,
          .start = BlockStart::kDepthScaledNormal};
}

}  // namespace

TextTransformer::TextTransformer(FreshWeights& weights, const ModelConfig& config)
    : positional_embedding_(weights.At(Tower::kText, kEmbeddings)
                                .Normal("positional_embedding",
                                        {config.text.context_length, config.text.width}, 0.01,
                                        Role::kEmbedding)),
      text_projection_(weights.At(Tower::kText, ProjectionPart(config.text.layers))
                           .Normal("text_projection", {config.text.width, config.embed_dim},
                                   1 / std::sqrt(static_cast<double>(config.text.width)),
                                   Role::kHead)),
      transformer_(weights, "transformer", OptionsOf(config)),
      token_embedding_weight_(weights.At(Tower::kText, kEmbeddings)
                                  .Normal("token_embedding.weight",
                                          {config.text.vocab_size, config.text.width}, 0.02,
                                          Role::kEmbedding)),
      ln_final_(weights.At(Tower::kText, BlockPart(config.text.layers - 1)), "ln_final",
                config.text.width) {}

at::Tensor TextTransformer::Forward(const at::Tensor& tokens, const at::Tensor& pool) const {
  const std::int64_t batch = tokens.size(0), n = tokens.size(1);
  const at::Tensor x = at::embedding(token_embedding_weight_, tokens)
                           .add(positional_embedding_.narrow(0, 0, n))
                           .view({batch * n, -1});
  return at::mm(ln_final_(transformer_.Forward(x, batch, pool)), text_projection_);
}

}  // namespace fastclip
