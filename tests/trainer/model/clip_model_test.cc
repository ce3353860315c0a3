#include "trainer/model/clip_model.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <stdexcept>

#include "tests/support/error_of.h"
#include "trainer/step/towers.h"

namespace fastclip {
namespace {

ModelConfig Small() {
  ModelConfig config;
  config.name = "small";
  config.embed_dim = 24;
  config.vision = {.image_size = 32, .patch_size = 8, .width = 64, .layers = 2, .head_width = 16};
  config.text = {.context_length = 20, .vocab_size = 500, .width = 48, .heads = 3, .layers = 3};
  return config;
}

std::map<std::string, at::Tensor> ByName(const NamedTensors& tensors) {
  return {tensors.begin(), tensors.end()};
}

MicroBatch SomeBatch(const ModelConfig& config, std::int64_t rows, std::int64_t longest) {
  MicroBatch batch;
  const std::int64_t size = config.vision.image_size;
  batch.images =
      at::linspace(-2, 2, rows * 3 * size * size, at::kDouble).sin().view({rows, 3, size, size});
  batch.tokens = at::arange(rows * config.text.context_length, at::kLong)
                     .mul(7)
                     .remainder(499)
                     .view({rows, -1});
  batch.pool = at::arange(rows, at::kLong).remainder(longest);
  batch.pool[0] = longest - 1;
  return batch;
}

TEST(ClipModel, ListsParametersInTheOrderOfAStateDict) {
  ModelConfig config = Small();
  config.vision.layers = config.text.layers = 1;
  const ClipModel model(config, 0, 0.07, at::kFloat);
  std::vector<std::string> names, expected = {"positional_embedding",
                                              "text_projection",
                                              "logit_scale",
                                              "visual.class_embedding",
                                              "visual.positional_embedding",
                                              "visual.proj",
                                              "visual.conv1.weight",
                                              "visual.ln_pre.weight",
                                              "visual.ln_pre.bias"};
  const auto block = [&](const std::string& prefix) {
    for (const char* name :
         {"ln_1.weight", "ln_1.bias", "attn.in_proj_weight", "attn.in_proj_bias",
          "attn.out_proj.weight", "attn.out_proj.bias", "ln_2.weight", "ln_2.bias",
          "mlp.c_fc.weight", "mlp.c_fc.bias", "mlp.c_proj.weight", "mlp.c_proj.bias"}) {
      expected.push_back(prefix + "transformer.resblocks.0." + name);
    }
  };
  block("visual.");
  for (const char* name : {"visual.ln_post.weight", "visual.ln_post.bias"})
    expected.push_back(name);
  block("");
  for (const char* name : {"token_embedding.weight", "ln_final.weight", "ln_final.bias"})
    expected.push_back(name);
  for (const auto& [name, tensor] : model.parameters()) {
    names.push_back(name);
    EXPECT_TRUE(tensor.requires_grad() && tensor.is_leaf()) << name;
  }
  EXPECT_EQ(names, expected);
}

TEST(ClipModel, StartsAsAFunctionOfTheSeedAlone) {
  const ClipModel a(Small(), 3, 0.07, at::kDouble), b(Small(), 3, 0.07, at::kFloat),
      c(Small(), 4, 0.07, at::kDouble);
  const auto other_seed = ByName(c.parameters()), rounded = ByName(b.parameters());
  ModelConfig deeper = Small();
  deeper.vision.layers = 4;
  const auto more_layers = ByName(ClipModel(deeper, 3, 0.07, at::kDouble).parameters());
  for (const auto& [name, tensor] : a.parameters()) {
    EXPECT_TRUE(at::equal(tensor.to(at::kFloat), rounded.at(name))) << name;
    EXPECT_TRUE(name.starts_with("transformer") || at::equal(tensor, more_layers.at(name))) << name;
    const bool constant = name.find("ln_") != std::string::npos || name.ends_with("in_proj_bias") ||
                          name.ends_with("out_proj.bias") || name == "logit_scale";
    EXPECT_EQ(at::equal(tensor, other_seed.at(name)), constant) << name;
  }
  // Frozen: a seed of today names the same model tomorrow.
  const at::Tensor first = ByName(a.parameters()).at("visual.class_embedding");
  EXPECT_NEAR(first[0].item<double>(), 0.11835302512801658, 1e-15);
  EXPECT_NEAR(ByName(a.parameters()).at("visual.conv1.weight").flatten()[0].item<double>(),
              0.012928700301935322, 1e-15);
}

TEST(ClipModel, StartsWithOpenClipsDistributions) {
  ModelConfig config = Small();
  config.vision.width = 128;
  config.text = {.context_length = 77, .vocab_size = 2000, .width = 96, .heads = 3, .layers = 3};
  const ClipModel model(config, 7, 0.05, at::kDouble);
  const auto weights = ByName(model.parameters());
  const auto root = [](double x) { return std::sqrt(x); };
  const double v = 128, t = 96, depth = 2 * 3;
  struct Expected {
    const char* name;
    bool normal;
    double scale;  // the standard deviation, or the bound of a uniform
  };
  const Expected table[] = {
      {"visual.class_embedding", true, 1 / root(v)},
      {"visual.positional_embedding", true, 1 / root(v)},
      {"visual.proj", true, 1 / root(v)},
      {"visual.conv1.weight", false, 1 / root(3 * 64)},
      {"visual.transformer.resblocks.1.attn.in_proj_weight", false, root(6 / (4 * v))},
      {"visual.transformer.resblocks.1.attn.out_proj.weight", false, 1 / root(v)},
      {"visual.transformer.resblocks.1.mlp.c_fc.weight", false, 1 / root(v)},
      {"visual.transformer.resblocks.1.mlp.c_fc.bias", false, 1 / root(v)},
      {"visual.transformer.resblocks.1.mlp.c_proj.weight", false, 1 / root(4 * v)},
      {"visual.transformer.resblocks.1.mlp.c_proj.bias", false, 1 / root(4 * v)},
      {"token_embedding.weight", true, 0.02},
      {"positional_embedding", true, 0.01},
      {"text_projection", true, 1 / root(t)},
      {"transformer.resblocks.2.attn.in_proj_weight", true, 1 / root(t)},
      {"transformer.resblocks.2.attn.out_proj.weight", true, 1 / root(t * depth)},
      {"transformer.resblocks.2.mlp.c_fc.weight", true, 1 / root(2 * t)},
      {"transformer.resblocks.2.mlp.c_fc.bias", false, 1 / root(t)},
      {"transformer.resblocks.2.mlp.c_proj.weight", true, 1 / root(t * depth)},
      {"transformer.resblocks.2.mlp.c_proj.bias", false, 1 / root(4 * t)}};
  for (const auto& [name, normal, scale] : table) {
    const at::Tensor x = weights.at(name) / scale;
    const double n = static_cast<double>(x.numel());
    const double variance = normal ? 1 : 1.0 / 3;
    // Five standard errors; the fourth moment of a normal is 3, of a uniform in ±1 it is 1/5.
    const double moment_error = 5 * root((normal ? 2.0 : 1.0 / 5 - 1.0 / 9) / n);
    EXPECT_NEAR(x.mean().item<double>(), 0, 5 * root(variance / n)) << name;
    EXPECT_NEAR(x.square().mean().item<double>(), variance, moment_error) << name;
    const double largest = x.abs().max().item<double>();
    EXPECT_TRUE(normal ? n < 1000 || largest > 2.5 : largest <= 1) << name;
  }
  EXPECT_DOUBLE_EQ(model.logit_scale().item<double>(), -std::log(0.05));
  EXPECT_EQ(weights.at("ln_final.weight").min().item<double>(), 1);
  EXPECT_EQ(weights.at("transformer.resblocks.0.attn.in_proj_bias").abs().max().item<double>(), 0);
}

TEST(ClipModel, GivesTheSameTextFeaturesTrimmedOrNot) {
  const ClipModel model(Small(), 1, 0.07, at::kDouble);
  const MicroBatch batch = SomeBatch(Small(), 6, 9);
  const at::NoGradGuard no_grad;
  const at::Tensor whole = model.EncodeText(batch.tokens, batch.pool);
  for (const std::int64_t n : {9, 16, 19}) {
    const at::Tensor trimmed = model.EncodeText(batch.tokens.narrow(1, 0, n), batch.pool);
    EXPECT_LE((trimmed - whole).abs().max().item<double>(), 1e-14) << n;
  }
  EXPECT_LE((whole.square().sum(-1) - 1).abs().max().item<double>(), 1e-14);
}

// Captions of SomeBatch in two groups, of 4 and 9 ids.
CaptionGroups TwoGroups(const MicroBatch& batch) {
  const at::Tensor in_first = batch.pool.lt(4);
  const std::int64_t first = in_first.sum().item<std::int64_t>();
  CaptionGroups groups;
  groups.groups = {{first, 4}, {batch.pool.size(0) - first, 9}};
  groups.order = at::cat({in_first.nonzero(), in_first.logical_not().nonzero()}).view(-1);
  groups.places = at::argsort(groups.order);
  return groups;
}

TEST(Towers, GiveTheSameInGroupsOfCaptions) {
  for (const LockOptions& lock : {LockOptions{}, {.text = true, .text_unlocked_layers = 2}}) {
    ClipModel model(Small(), 1, 0.07, at::kDouble, lock);
    const MicroBatch whole = SomeBatch(Small(), 11, 9);
    MicroBatch grouped = whole;
    grouped.groups = TwoGroups(whole);
    ASSERT_FALSE(at::equal(grouped.groups.order, grouped.groups.places));
    const at::Tensor gradient = at::linspace(-1, 1, 11 * 24, at::kDouble).view({11, 24});
    const auto run = [&](const MicroBatch& batch, bool checkpointing) {
      for (const auto& [name, parameter] : model.parameters()) parameter.mutable_grad().reset();
      model.set_grad_checkpointing(checkpointing);
      Towers towers(model);
      std::vector<at::Tensor> results = {towers.Forward({&batch, 1}).text};
      towers.Backward({&batch, 1}, {gradient, gradient.neg()});
      for (const auto& [name, parameter] : model.trainable()) {
        if (parameter.grad().defined()) results.push_back(parameter.grad());
      }
      return results;
    };
    const std::vector<at::Tensor> one = run(whole, false), groups = run(grouped, false),
                                  again = run(grouped, true);
    ASSERT_EQ(one.size(), model.trainable().size());  // the features, no gradient of logit_scale
    ASSERT_EQ(groups.size(), one.size());
    for (std::size_t i = 0; i < one.size(); ++i) {
      EXPECT_LE((one[i] - groups[i]).abs().max().item<double>(),
                1e-12 * one[i].abs().max().item<double>() + 1e-15);
      EXPECT_TRUE(at::equal(groups[i], again[i]));
    }
  }
}

TEST(Towers, GiveTheSameGradientsInOneMicroBatchOrSeveral) {
  const ClipModel model(Small(), 1, 0.07, at::kDouble);
  const MicroBatch whole = SomeBatch(Small(), 7, 9);
  std::vector<MicroBatch> parts;
  for (const auto& [first, rows] : {std::pair{0, 3}, {3, 2}, {5, 2}}) {
    parts.push_back({whole.images.narrow(0, first, rows), whole.tokens.narrow(0, first, rows),
                     whole.pool.narrow(0, first, rows)});
  }
  const at::Tensor gradient = at::linspace(-1, 1, 7 * 24, at::kDouble).view({7, 24});
  const auto run = [&](std::span<const MicroBatch> micro) {
    for (const auto& [name, parameter] : model.parameters()) parameter.mutable_grad().reset();
    Towers towers(model);
    const PerSide<at::Tensor> features = towers.Forward(micro);
    EXPECT_FALSE(features.image.requires_grad() || features.text.requires_grad());
    towers.Backward(micro, {gradient, gradient.neg()});
    std::vector<at::Tensor> results = {features.image, features.text};
    for (const auto& [name, parameter] : model.parameters()) {
      if (parameter.grad().defined()) results.push_back(parameter.grad());
    }
    return results;
  };
  const std::vector<at::Tensor> one = run({&whole, 1}), several = run(parts);
  ASSERT_EQ(one.size(), model.parameters().size() + 1);  // two features, no gradient of logit_scale
  ASSERT_EQ(several.size(), one.size());
  for (std::size_t i = 0; i < one.size(); ++i) {
    EXPECT_LE((one[i] - several[i]).abs().max().item<double>(),
              1e-12 * one[i].abs().max().item<double>() + 1e-15);
  }
}

TEST(ClipModel, SeesTheKeptPatchesAlone) {
  const ClipModel model(Small(), 1, 0.07, at::kDouble);  // 4 · 4 patches of 8 · 8 pixels
  const MicroBatch batch = SomeBatch(Small(), 3, 9);
  const at::Tensor kept =
      at::tensor({0, 3, 6, 9, 1, 2, 3, 4, 5, 10, 14, 15}, at::kLong).view({3, 4});
  const auto encode = [&](const at::Tensor& images, const at::Tensor& patches) {
    const at::Tensor features = model.EncodeImage(images, TowerMode::kTrain, patches);
    for (const auto& [name, parameter] : model.parameters()) parameter.mutable_grad().reset();
    features.backward(at::linspace(-1, 1, features.numel(), at::kDouble).view_as(features));
    std::vector<at::Tensor> all = {features.detach()};
    for (const auto& [name, parameter] : model.parameters()) {
      if (name.starts_with("visual.")) all.push_back(parameter.grad().clone());
    }
    return all;
  };
  const auto expect_equal = [](const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(at::allclose(a[i], b[i], 1e-11, 1e-13));
  };
  // All patches in another order are the picture; pixels of the others do not matter.
  const at::Tensor reversed = at::arange(15, -1, -1, at::kLong).expand({3, 16});
  expect_equal(encode(batch.images, reversed), encode(batch.images, {}));
  const std::vector<at::Tensor> some = encode(batch.images, kept);
  at::Tensor changed = batch.images.clone();
  for (std::int64_t row = 0; row < 3; ++row) {
    for (std::int64_t patch = 0; patch < 16; ++patch) {
      if (kept[row].eq(patch).any().item<bool>()) continue;
      changed[row].narrow(1, patch / 4 * 8, 8).narrow(2, patch % 4 * 8, 8).add_(1);
    }
  }
  expect_equal(encode(changed, kept), some);
  EXPECT_FALSE(at::allclose(some[0], encode(batch.images, {})[0], 0, 1e-3));
  // A row's features are its own: another row's patches do not reach it.
  expect_equal({encode(batch.images.narrow(0, 1, 1), kept.narrow(0, 1, 1))[0]},
               {some[0].narrow(0, 1, 1)});
}

TEST(ClipModel, LoadsItsOwnTensorsInAnyOrder) {
  const ClipModel source(Small(), 1, 0.07, at::kDouble);
  ClipModel target(Small(), 2, 0.1, at::kFloat);
  NamedTensors reversed(source.parameters().rbegin(), source.parameters().rend());
  target.Load(reversed, "x.safetensors");
  const auto loaded = ByName(target.parameters());
  for (const auto& [name, tensor] : source.parameters()) {
    EXPECT_TRUE(at::equal(tensor.to(at::kFloat), loaded.at(name))) << name;
    EXPECT_TRUE(loaded.at(name).is_leaf() && loaded.at(name).requires_grad()) << name;
  }
}

TEST(ClipModel, NamesWhatDoesNotFitAndStaysAsItWas) {
  ClipModel model(Small(), 1, 0.07, at::kFloat);
  const at::Tensor before = ByName(model.parameters()).at("visual.proj").detach().clone();
  NamedTensors tensors = ClipModel(Small(), 2, 0.07, at::kFloat).parameters();
  NamedTensors missing(tensors.begin() + 1, tensors.end()), unknown = tensors;
  EXPECT_EQ(ErrorOf([&] { model.Load(missing, "a.safetensors"); }),
            "a.safetensors does not fit the model small; 1 missing: positional_embedding; check "
            "that the weights belong to this model");
  unknown.emplace_back("visual.attnpool.c_proj.bias", at::zeros({3}));
  EXPECT_NE(
      ErrorOf([&] { model.Load(unknown, "a"); }).find("1 unknown: visual.attnpool.c_proj.bias"),
      std::string::npos);
  tensors.emplace_back(tensors.front());
  EXPECT_NE(ErrorOf([&] { model.Load(tensors, "a"); }).find("unknown: positional_embedding"),
            std::string::npos);
  EXPECT_TRUE(at::equal(before, ByName(model.parameters()).at("visual.proj")));
}

TEST(ClipModel, RefusesAnotherModelsCheckpoint) {
  ClipModel model(Small(), 1, 0.07, at::kFloat);
  ModelConfig other = Small();
  other.vision.width = 32;
  other.vision.layers = 3;
  const std::string error = ErrorOf(
      [&] { model.Load(ClipModel(other, 1, 0.07, at::kFloat).parameters(), "big.safetensors"); });
  EXPECT_NE(error.find("big.safetensors does not fit the model small; 12 unknown"),
            std::string::npos)
      << error;
  EXPECT_NE(error.find("visual.class_embedding [32] instead of [64]"), std::string::npos) << error;
  EXPECT_EQ(error.find('\n'), std::string::npos);
}

TEST(ClipModel, TellsOfAVocabularyThatDoesNotFit) {
  ClipModel model(Small(), 1, 0.07, at::kFloat);
  ModelConfig other = Small();
  other.text.vocab_size = 400;
  const std::string error =
      ErrorOf([&] { model.Load(ClipModel(other, 1, 0.07, at::kFloat).parameters(), "a"); });
  EXPECT_NE(error.find("its vocabulary has 400 entries, the model's 500"), std::string::npos)
      << error;
}

TEST(ModelConfig, RefusesWhatMakesNoModel) {
  const auto error = [](auto change) {
    ModelConfig config = Small();
    change(config);
    return ErrorOf([&] { CheckModelConfig(config); });
  };
  EXPECT_EQ(error([](ModelConfig&) {}), "");
  EXPECT_NE(error([](ModelConfig& c) { c.vision.patch_size = 7; }).find("patch_size = 7"),
            std::string::npos);
  EXPECT_NE(error([](ModelConfig& c) { c.vision.head_width = 24; }).find("head_width"),
            std::string::npos);
  EXPECT_NE(error([](ModelConfig& c) { c.text.heads = 5; }).find("text.heads = 5"),
            std::string::npos);
  EXPECT_NE(error([](ModelConfig& c) { c.text.layers = 0; }).find("text.layers = 0"),
            std::string::npos);
  EXPECT_NE(error([](ModelConfig& c) { c.embed_dim = -1; }).find("embed_dim"), std::string::npos);
  EXPECT_NE(error([](ModelConfig& c) { c.text.context_length = 1; }).find("context_length"),
            std::string::npos);
  EXPECT_NE(error([](ModelConfig& c) { c.text.mlp_ratio = std::nan(""); }).find("mlp_ratio"),
            std::string::npos);
  const auto resnet_error = [&](auto change) {
    return error([&](ModelConfig& c) {
      c.vision = {.image_size = 64, .width = 8, .head_width = 16, .resnet_layers = {1, 1, 1, 1}};
      change(c.vision);
    });
  };
  EXPECT_EQ(resnet_error([](VisionConfig&) {}), "");
  EXPECT_NE(resnet_error([](VisionConfig& v) { v.image_size = 48; }).find("image_size = 48"),
            std::string::npos);
  EXPECT_NE(resnet_error([](VisionConfig& v) { v.head_width = 48; }).find("head_width = 48"),
            std::string::npos);
  EXPECT_NE(resnet_error([](VisionConfig& v) { v.width = 7; }).find("width = 7 must be even"),
            std::string::npos);
  EXPECT_NE(resnet_error([](VisionConfig& v) {
              v.resnet_layers = {1, 2};
            }).find("2 stages"),
            std::string::npos);
  EXPECT_NE(resnet_error([](VisionConfig& v) { v.resnet_layers[2] = 0; }).find("0 blocks"),
            std::string::npos);
}

}  // namespace
}  // namespace fastclip
