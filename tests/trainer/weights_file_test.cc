#include "trainer/state/weights_file.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <stdexcept>

#include "tests/support/error_of.h"
#include "tests/support/paths.h"
#include "trainer/base/config_table.h"
#include "trainer/model/openclip_config.h"
#include "trainer/model/presets.h"
#include "trainer/state/foreign_weights.h"
#include "trainer/state/weights_origin.h"

namespace fastclip {
namespace {

bool Has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(WeightsFile, StripsThePrefixesOfPyTorchsWrappers) {
  TemporaryFolder folder;
  const at::Tensor one = at::ones({2});
  WriteSafetensors(folder / "a",
                   {{"module._orig_mod.w", one}, {"module._orig_mod.logit_scale", at::ones({1})}});
  const WeightsFile file(folder / "a");
  EXPECT_EQ(file.prefix(), "module._orig_mod.");
  EXPECT_EQ(file.shapes()[0].name, "w");
  EXPECT_EQ(file.Read()[0].first, "w");
  EXPECT_EQ(file.Number("logit_scale"), 1.0);
  EXPECT_EQ(file.Number("logit_bias"), std::nullopt);
  EXPECT_TRUE(Has(file.DescribePrefix(), "'module._orig_mod.'")) << file.DescribePrefix();
  // A tensor without it: the names are meant as they are.
  WriteSafetensors(folder / "b", {{"module.w", one}, {"v", one}});
  EXPECT_EQ(WeightsFile(folder / "b").prefix(), "");
}

TEST(WeightsFile, NamesTheTensorThatIsNotFinite) {
  TemporaryFolder folder;
  const double bad[] = {std::nan(""), std::numeric_limits<double>::infinity()};
  for (const double value : bad) {
    for (const at::ScalarType type : {at::kFloat, at::kHalf, at::kBFloat16}) {
      at::Tensor tensor = at::ones({3, 2}, type);
      tensor[2][1] = value;
      WriteSafetensors(folder / "a", {{"good", at::ones({2})}, {"visual.proj", tensor}});
      const WeightsFile file(folder / "a");
      EXPECT_TRUE(Has(ErrorOf([&] { file.Read(); }), "visual.proj holds a NaN or an infinity"));
    }
    WriteSafetensors(folder / "b", {{"logit_scale", at::full({}, value)}});
    EXPECT_TRUE(Has(ErrorOf([&] { WeightsFile(folder / "b").Number("logit_scale"); }),
                    ": logit_scale is "));
  }
}

TEST(WeightsFit, AnotherSizeIsToldWithBothSizesAndTheRemedy) {
  const ModelConfig vit = LoadModelConfig("ViT-B-32"), resnet = LoadModelConfig("RN50");
  const auto error = [](const ModelConfig& model, const std::string& name,
                        std::vector<std::int64_t> theirs, std::vector<std::int64_t> ours) {
    return ErrorOf([&] { CheckWeightsFit(model, {{name, ours}}, {{name, theirs}}, "x"); });
  };
  EXPECT_TRUE(Has(error(vit, "visual.positional_embedding", {82, 768}, {50, 768}),
                  "image size is 288, the model's 224; set vision.image_size = 288"));
  EXPECT_TRUE(Has(error(resnet, "visual.attnpool.positional_embedding", {82, 2048}, {50, 2048}),
                  "image size is 288, the model's 224"));
  EXPECT_TRUE(Has(error(vit, "positional_embedding", {64, 512}, {77, 512}),
                  "context length is 64, the model's 77; set text.context_length = 64"));
  EXPECT_TRUE(Has(error(vit, "visual.proj", {64, 512}, {77, 512}),
                  "check that the weights belong to this model"));
}

TEST(WeightsFit, NamesOfOtherLibrariesAreKnown) {
  const ModelConfig model = LoadModelConfig("ViT-B-32");
  const auto error = [&](const std::string& name) {
    return ErrorOf([&] { CheckWeightsFit(model, {{"a", {1}}}, {{name, {1}}}, "x"); });
  };
  EXPECT_TRUE(Has(error("text_model.embeddings.token_embedding.weight"), "transformers"));
  EXPECT_TRUE(Has(error("visual.trunk.pos_embed"), "timm"));
}

TEST(OpenClipConfig, EveryPresetComesBackFromItsJson) {
  for (const std::string& name : ModelPresets()) {
    const ModelConfig model = LoadModelConfig(name);
    const std::string json = OpenClipJson(model);
    EXPECT_EQ(OpenClipJson(ModelOfOpenClipJson(json, name)), json);
    EXPECT_FALSE(DifferenceFrom(json, model)) << name;
  }
}

TEST(OpenClipConfig, WhatIsLeftOutHasOpenClipsDefault) {
  // As OpenCLIP's own ViT-B-16.json, RN50.json and a file that states the neutral have it.
  EXPECT_FALSE(DifferenceFrom(
      R"({"embed_dim":512,"vision_cfg":{"image_size":224,"layers":12,"width":768,"patch_size":16},)"
      R"("text_cfg":{"context_length":77,"vocab_size":49408,"width":512,"heads":8,"layers":12}})",
      LoadModelConfig("ViT-B-16")));
  EXPECT_FALSE(DifferenceFrom(
      R"({"embed_dim":1024,"quick_gelu":true,"vision_cfg":{"layers":[3,4,6,3],"width":64,)"
      R"("patch_size":null},"text_cfg":{}})",
      LoadModelConfig("RN50-quickgelu")));
  EXPECT_FALSE(DifferenceFrom(
      R"({"embed_dim":512,"init_logit_bias":-10,"vision_cfg":{"pool_type":"tok","no_ln_pre":false,)"
      R"("patch_dropout":0.5,"timm_model_name":null},"text_cfg":{"pool_type":"argmax"}})",
      LoadModelConfig("ViT-B-16")));
}

TEST(OpenClipConfig, FindsWhatShapesDoNotShow) {
  const ModelConfig ours = LoadModelConfig("ViT-B-16");
  const auto difference = [&](const std::string& vision, const std::string& rest) {
    const auto found = DifferenceFrom(
        R"({"embed_dim":512,"vision_cfg":{)" + vision + R"(},"text_cfg":{}})" + rest, ours);
    return found ? found->key + " " + found->theirs + " " + found->ours : "none";
  };
  EXPECT_EQ(difference("", ""), "none");
  EXPECT_EQ(difference(R"("head_width":32)", ""), "vision.head_width 32 64");
  EXPECT_EQ(difference(R"("mlp_ratio":4)", ""), "none");
  EXPECT_EQ(difference(R"("pool_type":"avg")", ""), "vision.pool_type \"avg\" none");
  EXPECT_EQ(difference(R"("no_ln_pre":true)", ""), "vision.no_ln_pre true none");
  EXPECT_EQ(difference(R"("attentional_pool":true)", ""), "vision.attentional_pool true none");
  ModelConfig quick = ours;
  quick.quick_gelu = true;
  EXPECT_EQ(DifferenceFrom(OpenClipJson(quick), ours)->key, "quick_gelu");
  EXPECT_EQ(DifferenceFrom(OpenClipJson(LoadModelConfig("RN50")), ours)->key, "embed_dim");
  for (const char* json : {"", "[]", "{", R"({"vision_cfg":1})"}) {
    EXPECT_NE(ErrorOf([&] { ModelOfOpenClipJson(json, "x"); }), "") << json;
  }
}

class Origin : public testing::Test {
 protected:
  std::string Check(const ModelConfig& model) {
    return CheckOrigin(folder_ / "w.safetensors", {.config = model,
                                                   .tokenizer = "clip",
                                                   .vocabulary_hash = 1,
                                                   .model_option = "model.name",
                                                   .tokenizer_option = "data.tokenizer"});
  }
  void Describe(const std::string& json) {
    std::ofstream(folder_ / "open_clip_config.json") << json;
  }
  TemporaryFolder folder_;
};

TEST_F(Origin, WhereNothingTellsTheModelThatIsSaid) {
  const std::string note = Check(LoadModelConfig("ViT-B-32"));
  EXPECT_TRUE(Has(note, "Not checked: quick_gelu = false")) << note;
  EXPECT_TRUE(Has(note, "vision.head_width = 64, text.heads = 8")) << note;
  EXPECT_FALSE(Has(note, "Its name suggests")) << note;
  const std::string openai =
      CheckOrigin("/no/ViT-B-32-OpenAI.safetensors", {.config = LoadModelConfig("ViT-B-32"),
                                                      .tokenizer = "clip",
                                                      .model_option = "model.name",
                                                      .tokenizer_option = ""});
  EXPECT_TRUE(
      Has(openai, "Its name suggests quick_gelu = true: set model.name to ViT-B-32-quickgelu"))
      << openai;
}

TEST_F(Origin, OpenClipsConfigBesideTheFileIsCompared) {
  Describe(R"({"model_cfg":{"embed_dim":512,"quick_gelu":true,"vision_cfg":{"patch_size":32},)"
           R"("text_cfg":{}},"preprocess_cfg":{"mean":[0.48145466,0.4578275,0.40821073],)"
           R"("std":[0.26862954,0.26130258,0.27577711]}})");
  const std::string error = ErrorOf([&] { Check(LoadModelConfig("ViT-B-32")); });
  EXPECT_TRUE(Has(error,
                  "have quick_gelu = true, but model ViT-B-32 has false; set model.name to "
                  "ViT-B-32-quickgelu"))
      << error;
  EXPECT_EQ(Check(LoadModelConfig("ViT-B-32-quickgelu")), "");
  EXPECT_EQ(ModelOf(*OriginOf(folder_ / "w.safetensors")).vision.patch_size, 32);
}

TEST(PublishedName, IsToldFromAFileAndHowItIsSaved) {
  const std::string text = PublishedName("laion2b_s34b_b79k", "ViT-B-32");
  EXPECT_TRUE(Has(text, "published weights are not downloaded")) << text;
  const std::string openai = PublishedName("openai", "ViT-B-32");
  EXPECT_TRUE(Has(openai, "'ViT-B-32-quickgelu' 'openai'")) << openai;
  EXPECT_TRUE(Has(openai, "and model.name to ViT-B-32-quickgelu")) << openai;
  EXPECT_TRUE(Has(text, "'ViT-B-32' 'laion2b_s34b_b79k' 'laion2b_s34b_b79k.safetensors'")) << text;
  EXPECT_EQ(PublishedName("weights.safetensors", "ViT-B-32"), "");
  EXPECT_EQ(PublishedName("runs/mine", "ViT-B-32"), "");
}

TEST_F(Origin, PicturesNormalisedInAnotherWayAreRefused) {
  Describe(R"({"model_cfg":{"embed_dim":512,"vision_cfg":{"patch_size":32},"text_cfg":{}},)"
           R"("preprocess_cfg":{"mean":[0.5,0.5,0.5],"std":[0.5,0.5,0.5]}})");
  EXPECT_TRUE(Has(ErrorOf([&] { Check(LoadModelConfig("ViT-B-32")); }), "mean [0.5,0.5,0.5]"));
}

TEST_F(Origin, ADamagedDescriptionIsAnError) {
  for (const char* text : {"", "{", "[]", "{}"}) {
    Describe(text);
    EXPECT_TRUE(Has(ErrorOf([&] { Check(LoadModelConfig("ViT-B-32")); }), "open_clip_config.json"))
        << text;
  }
  std::ofstream(folder_ / "checkpoint.json") << "{";
  EXPECT_TRUE(Has(ErrorOf([&] { Check(LoadModelConfig("ViT-B-32")); }), "checkpoint.json"));
}

}  // namespace
}  // namespace fastclip
