#include "trainer/model/text_transformer.h"

#include <ATen/ATen.h>

#include <cmath>
#include <optional>

#include "trainer/model/autocast.h"

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

/// [places, width], of tokens [b, n] in the order of the groups.
at::Tensor TextTransformer::Embed(const at::Tensor& tokens, const SequenceGroups& groups) const {
  std::vector<at::Tensor> ids;
  std::vector<std::int64_t> places;
  std::int64_t first = 0;
  for (const SequenceGroup& group : groups) {
    ids.push_back(tokens.narrow(0, first, group.sequences).narrow(1, 0, group.length).flatten());
    places.push_back(group.places());
    first += group.sequences;
  }
  // Looked up at once: the gradient of each look-up is as large as the vocabulary.
  std::vector<at::Tensor> x =
      at::embedding(token_embedding_weight_, at::cat(ids)).split_with_sizes(places);
  for (std::size_t i = 0; i < groups.size(); ++i) {
    const auto [sequences, length] = groups[i];
    x[i] = x[i].view({sequences, length, -1})
               .add(positional_embedding_.narrow(0, 0, length))
               .view({places[i], -1});
  }
  return at::cat(x);
}

at::Tensor TextTransformer::Transform(at::Tensor x, const SequenceGroups& groups,
                                      const at::Tensor& pool) const {
  const auto low = AutocastDtype(x.device().type());
  if (low && !residual_fp32_) x = x.to(*low);
  return transformer_.Forward(x, groups, pool);
}

at::Tensor TextTransformer::Forward(const at::Tensor& tokens, const at::Tensor& pool,
                                    const CaptionGroups& of) const {
  const std::int64_t batch = tokens.size(0), n = tokens.size(1);
  if (of.groups.empty()) {
    const at::Tensor x = at::embedding(token_embedding_weight_, tokens)
                             .add(positional_embedding_.narrow(0, 0, n))
                             .view({batch * n, -1});
    return at::mm(ln_final_(Transform(x, {{batch, n}}, pool)), text_projection_);
  }
  const at::Tensor x = Embed(tokens.index_select(0, of.order), of.groups);
  const at::Tensor read =
      Transform(x, of.groups, pool.index_select(0, of.order)).index_select(0, of.places);
  return at::mm(ln_final_(read), text_projection_);
}

}  // namespace fastclip
