#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <cmath>
#include <stdexcept>
#include <vector>

#include "trainer/model/attention.h"
#include "trainer/model/recompute.h"

namespace fastclip {
namespace {

constexpr std::int64_t kWidth = 12, kBatch = 3, kPlaces = 5;

TransformerOptions Options(bool causal, std::vector<BlockShape> blocks) {
  return {.tower = Tower::kText,
          .width = kWidth,
          .blocks = std::move(blocks),
          .quick_gelu = false,
          .causal = causal,
          .start = BlockStart::kTorchDefault};
}

/// A block by loops over heads, from its weights alone.
at::Tensor BlockByHand(const std::vector<Parameter>& made, const std::string& name,
                       const BlockShape& shape, const at::Tensor& x, bool causal) {
  const auto w = [&](const std::string& of) {
    for (const Parameter& parameter : made) {
      if (parameter.name == name + of) return parameter.tensor.detach();
    }
    throw std::runtime_error("no " + of);
  };
  const auto norm = [&](const at::Tensor& in, const std::string& of) {
    const at::Tensor centred = in - in.mean(-1, true);
    const at::Tensor variance = centred.square().mean(-1, true);
    return centred / (variance + 1e-5).sqrt() * w(of + ".weight") + w(of + ".bias");
  };
  std::vector<at::Tensor> out;
  for (const at::Tensor& rows : x.chunk(kBatch)) {  // a sequence, [places, width]
    const at::Tensor packed =
        at::mm(norm(rows, "ln_1"), w("attn.in_proj_weight").t()) + w("attn.in_proj_bias");
    std::vector<at::Tensor> heads;
    for (std::int64_t h = 0; h < shape.heads; ++h) {
      const std::int64_t all = shape.heads * shape.qk_dim;
      const at::Tensor q = packed.narrow(1, h * shape.qk_dim, shape.qk_dim);
      const at::Tensor k = packed.narrow(1, all + h * shape.qk_dim, shape.qk_dim);
      const at::Tensor v = packed.narrow(1, 2 * all + h * shape.v_dim, shape.v_dim);
      at::Tensor scores = at::mm(q, k.t()) / std::sqrt(static_cast<double>(shape.qk_dim));
      if (causal) {
        const at::Tensor later = at::ones({kPlaces, kPlaces}, at::kBool).triu(1);
        scores = scores.masked_fill(later, -INFINITY);
      }
      heads.push_back(at::mm(scores.softmax(1), v));
    }
    const at::Tensor mixed =
        rows + at::mm(at::cat(heads, 1), w("attn.out_proj.weight").t()) + w("attn.out_proj.bias");
    const at::Tensor inner =
        at::mm(norm(mixed, "ln_2"), w("mlp.c_fc.weight").t()) + w("mlp.c_fc.bias");
    out.push_back(mixed + at::mm(at::gelu(inner), w("mlp.c_proj.weight").t()) +
                  w("mlp.c_proj.bias"));
  }
  return at::cat(out);
}

TEST(Transformer, BlocksMayHaveUnlikeShapes) {
  const std::vector<BlockShape> shapes = {{.heads = 3, .qk_dim = 4, .v_dim = 4, .ffn = 48},
                                          {.heads = 2, .qk_dim = 3, .v_dim = 5, .ffn = 7},
                                          {.heads = 1, .qk_dim = 6, .v_dim = 2, .ffn = 20}};
  const at::Tensor x =
      at::linspace(-2, 2, kBatch * kPlaces * kWidth, at::kDouble).sin().view({-1, kWidth});
  const at::Tensor pool = at::tensor({0, 2, 4}, at::kLong);
  const at::Tensor read = at::arange(kBatch, at::kLong) * kPlaces + pool;
  for (const bool causal : {false, true}) {
    FreshWeights weights(5, at::kDouble);
    const Transformer transformer(weights, "t", Options(causal, shapes));
    at::Tensor expected = x;
    for (std::size_t i = 0; i < shapes.size(); ++i) {
      expected = BlockByHand(weights.made(), "t.resblocks." + std::to_string(i) + ".", shapes[i],
                             expected, causal);
    }
    const at::NoGradGuard no_grad;
    EXPECT_TRUE(
        at::allclose(transformer.ForwardAll(x.clone(), {{kBatch, kPlaces}}), expected, 0, 1e-12));
    EXPECT_TRUE(at::allclose(transformer.Forward(x.clone(), {{kBatch, kPlaces}}, pool),
                             expected.index_select(0, read), 0, 1e-12));
  }
}

TEST(Transformer, TellsEachParameterItsPart) {
  FreshWeights weights(5, at::kDouble);
  const BlockShape shape{.heads = 3, .qk_dim = 4, .v_dim = 4, .ffn = 48};
  const Transformer transformer(weights, "t", Options(false, {shape, shape}));
  ASSERT_EQ(weights.made().size(), 24u);
  for (const Parameter& parameter : weights.made()) {
    EXPECT_EQ(parameter.tower, Tower::kText);
    EXPECT_EQ(parameter.part, parameter.name.starts_with("t.resblocks.0.") ? 1 : 2)
        << parameter.name;
    const Role expected = parameter.name.find("ln_") != std::string::npos ? Role::kNorm
                          : parameter.name.ends_with("bias")              ? Role::kOffset
                                                                          : Role::kMatrix;
    EXPECT_EQ(parameter.role, expected) << parameter.name;
  }
}

TEST(Transformer, CheckpointingGivesTheSameGradientsForUnlikeShapes) {
  FreshWeights weights(5, at::kDouble);
  Transformer transformer(weights, "t",
                          Options(true, {{.heads = 2, .qk_dim = 3, .v_dim = 5, .ffn = 7},
                                         {.heads = 3, .qk_dim = 4, .v_dim = 4, .ffn = 48}}));
  const at::Tensor x =
      at::linspace(-2, 2, kBatch * kPlaces * kWidth, at::kDouble).sin().view({-1, kWidth});
  const auto gradients = [&](bool checkpointing) {
    for (const Parameter& parameter : weights.made()) parameter.tensor.mutable_grad().reset();
    transformer.set_grad_checkpointing(checkpointing);
    transformer.Forward(x.clone(), {{kBatch, kPlaces}}, at::tensor({0, 2, 4}, at::kLong))
        .sum()
        .backward();
    std::vector<at::Tensor> all;
    for (const Parameter& parameter : weights.made()) all.push_back(parameter.tensor.grad());
    return all;
  };
  const std::vector<at::Tensor> plain = gradients(false), again = gradients(true);
  for (std::size_t i = 0; i < plain.size(); ++i) {
    EXPECT_TRUE(plain[i].equal(again[i])) << weights.made()[i].name;
  }
}

TEST(Recomputed, RefusesALeafThatIsNotListed) {
  const at::Tensor x = at::ones({2}, at::kDouble).requires_grad_();
  const at::Tensor listed = at::full({2}, 3.0, at::kDouble).requires_grad_();
  const at::Tensor forgotten = at::full({2}, 5.0, at::kDouble).requires_grad_();
  const auto part = [&](const at::Tensor& in) { return in * listed * forgotten; };
  try {
    Recomputed(part, x, {listed}).sum().backward();
    FAIL() << "the gradient of a leaf was dropped";
  } catch (const std::logic_error& error) {
    EXPECT_NE(std::string(error.what()).find("a parameter of shape [2] that is not in its list"),
              std::string::npos)
        << error.what();
  }
  Recomputed(part, x, {listed, forgotten}).sum().backward();
  EXPECT_EQ(forgotten.grad().sum().item<double>(), 6);
}

TEST(Recomputed, TakesALockedLeafAndWhatIsMadeOfLeaves) {
  const at::Tensor x = at::ones({2}, at::kDouble).requires_grad_();
  const at::Tensor locked = at::full({2}, 5.0, at::kDouble);
  const at::Tensor leaf = at::full({2}, 3.0, at::kDouble).requires_grad_();
  const at::Tensor made = leaf * 2;
  Recomputed([&](const at::Tensor& in) { return in * locked * made; }, x, {made}).sum().backward();
  EXPECT_EQ(leaf.grad().sum().item<double>(), 20);
}

}  // namespace
}  // namespace fastclip
