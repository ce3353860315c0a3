// What tuners are before the first step: without an effect, of a known size, or refused.

#include <fmt/format.h>

#include "tests/trainer/adapt/golden.h"
#include "trainer/model/attention.h"

namespace fastclip {
namespace {

std::string ErrorOf(const std::vector<std::string>& recipe) {
  const AdaptGolden base("base");
  try {
    AdaptedModel model(recipe, base);
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "";
}

void ExpectError(const std::vector<std::string>& recipe, const std::string& part) {
  EXPECT_NE(ErrorOf(recipe).find(part), std::string::npos) << ErrorOf(recipe);
}

TEST(TunerStart, AtZeroTheTowersAreTheSameToTheBit) {
  const AdaptGolden base("base");
  const AdaptedModel plain({"bitfit image"}, base);
  const PerSide<at::Tensor> features = plain.Features();
  const auto expect_same = [&](const std::string& recipe) {
    const AdaptedModel tuned({recipe}, base);
    if (recipe.ends_with("scale=input")) {  // the last block computes all rows: up to rounding
      ExpectNear(tuned.Features().image, features.image, 1e-14, recipe);
      ExpectNear(tuned.Features().text, features.text, 1e-14, recipe);
      return;
    }
    EXPECT_TRUE(at::equal(tuned.Features().image, features.image)) << recipe;
    EXPECT_TRUE(at::equal(tuned.Features().text, features.text)) << recipe;
  };
  for (const char* scale : {"none", "scalar", "channel", "input"}) {
    for (const char* kind : {"p_adapter", "p_prefix"}) {
      expect_same(fmt::format("{} *.block.*.{{mha,ffn,block}} scale={}", kind, scale));
    }
  }
  for (const char* scale : {"scalar", "channel"}) {
    expect_same(fmt::format("p_prompt *.block.*.{{mha,ffn,block}} scale={}", scale));
  }
  expect_same("p_adapter *.block.*.{mha,ffn,block} input=post_norm init=zero");
  expect_same("p_lora *.block.*.{mha,ffn,block}");
  expect_same("adapter *.block.*.ffn");
}

TEST(TunerStart, AsPublishedItHasAnEffect) {
  const AdaptGolden base("base");
  const AdaptedModel plain({"bitfit image"}, base);
  for (const char* recipe :
       {"p_adapter *.block.*.mha init=paper", "p_prefix *.block.*.ffn init=paper",
        "p_prompt *.block.*.block init=paper scale=none", "adapter *.block.*.ffn init=paper",
        "prefix *.block.*.mha"}) {
    const AdaptedModel tuned({recipe}, base);
    EXPECT_FALSE(at::equal(tuned.Features().image, plain.Features().image)) << recipe;
    EXPECT_FALSE(at::equal(tuned.Features().text, plain.Features().text)) << recipe;
  }
}

TEST(TunerStart, AZeroStartThatCannotBeIsRefused) {
  const std::string starts = "cannot start without an effect";
  ExpectError({"p_prompt image.block.*.mha scale=none"}, starts);
  ExpectError({"p_prompt image.block.*.mha scale=input init=zero"}, starts);
  ExpectError({"p_prefix image.block.*.mha gate=lse"}, starts);
  ExpectError({"prefix image.block.*.mha init=zero"}, starts);
  ExpectError({"prompt_deep image init=zero"}, starts);
}

TEST(TunerStart, WhatDoesNotFitIsRefused) {
  ExpectError({"p_prefix image.block.*.ffn gate=lse init=paper"}, "image.block.0.ffn does not");
  ExpectError({"p_prefix image.block.*.mha gate=lse scale=channel init=paper"}, "has no scale");
  ExpectError({"prompt_shallow text"}, "use a parallel form, p_prompt or p_prefix");
  ExpectError({"prompt_deep *"}, "would move its end token");
  ExpectError({"prompt_deep image", "prompt_shallow image"}, "has prompts already");
  ExpectError({"prefix image.block.1.mha", "p_prompt image.block.*.mha gate=lse init=paper"},
              "another tuner already replaces the attention of image.block.1.mha");
  ExpectError({"adapter text.block.1.ffn", "p_adapter text.block.*.ffn"},
              "text.block.1.ffn.down.weight would have the same name as a parameter of \"adapter");
  ExpectError({"p_lora image.block.*.mha r=49"}, "matrix is 48 × 48; lower r");
  ExpectError({"p_adapter image.block.*.q"}, "its places are mha, ffn, block");
  ExpectError({"adapter image.block.*.mha"}, "its places are ffn");
  ExpectError({"p_adapter image.block.*.mha scale=channels"}, "scale must be channel, none");
  ExpectError({"lora image.block.*.q dropout=1"}, "dropout must be a number from 0 to 0.99");
}

/// Elements that a recipe trains in a ViT-B/16 of CLIP.
std::int64_t TrainableOf(const std::vector<std::string>& recipe) {
  ModelConfig config;
  config.vision.patch_size = 16;
  ClipModel model(config, 1, 0.07, at::kFloat, {}, at::kMeta);
  AttachTuners(model, {.tuners = recipe, .logit_scale = false}, 1);
  std::int64_t all = 0;
  for (const auto& [name, tensor] : model.trainable()) all += tensor.numel();
  return all;
}

TEST(TunerSizes, AreThoseOfThePapers) {
  const std::int64_t d = 768, blocks = 12, head = 100 * d + 100;  // of CIFAR-100
  const auto adapter = [&](std::int64_t r) { return 2 * d * r + r + d; };
  const std::string mha = "p_adapter image.block.*.mha", ffn = "p_adapter image.block.*.ffn";
  EXPECT_EQ(TrainableOf({"adapter image.block.*.ffn"}), blocks * adapter(10));  // .27 M
  EXPECT_EQ(TrainableOf({"prefix image.block.*.mha"}), blocks * 2 * 10 * d);    // .26 M
  EXPECT_EQ(TrainableOf({"prompt_deep image"}), blocks * 10 * d);               // .17 M
  EXPECT_EQ(TrainableOf({"prompt_shallow image"}), 10 * d);                     // .08 M
  EXPECT_EQ(TrainableOf({"p_adapter image.block.0.{mha,ffn}"}), 2 * (adapter(10) + d));
  EXPECT_EQ(2 * (adapter(10) + d) + head, 110'712);  // U-Tuning/1: .111 M
  const std::int64_t dual = TrainableOf({mha + " r=13", ffn + " r=13"});
  EXPECT_EQ(dual, 516'408);
  EXPECT_EQ(dual + head, 593'308);  // U-Tuning/12: .593 M
  EXPECT_EQ(TrainableOf({mha + " r=10", ffn + " r=16"}), dual);
  const std::int64_t tri =
      TrainableOf({mha + " r=13", ffn + " r=13", "p_prefix image.block.*.block lp=4 scale=none"});
  EXPECT_EQ(tri + head, 667'036);  // .667 M
  EXPECT_EQ(TrainableOf({"p_adapter *.block.*.{mha,ffn}"}), 405'744 + 270'576);
  EXPECT_EQ(TrainableOf({"p_prefix *.block.*.mha"}), 193'536 + 129'024);
  EXPECT_EQ(TrainableOf({"p_prompt *.block.*.mha"}), blocks * 11 * (d + 512));
  EXPECT_EQ(TrainableOf({"lora *.block.*.{q,v}"}), 294'912 + 196'608);
  EXPECT_EQ(TrainableOf({"p_lora image.block.*.mha r=8"}), blocks * 2 * d * 8);
}

}  // namespace
}  // namespace fastclip
