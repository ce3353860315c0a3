#include <ATen/ATen.h>

#include <cmath>

#include "tests/trainer/training_fixture.h"
#include "trainer/config/config.h"
#include "trainer/state/safetensors.h"

namespace fastclip {
namespace {

/// Runs that start from the weights of another one.
class StartingFromWeights : public Training {
 protected:
  void SetUp() override {
    Training::SetUp();
    ASSERT_EQ(Run(Train("first", {"train.epochs=1"})), 0) << errors_;
  }
  std::string Weights() const { return folder_ / "first/checkpoints/step_12/model.safetensors"; }
  /// A copy where nothing tells its model, with one number changed.
  std::string With(const std::string& name, double number) {
    NamedTensors tensors = ReadSafetensors(Weights()).tensors;
    std::erase_if(tensors, [&](const auto& named) { return named.first == name; });
    tensors.emplace_back(name, at::full({}, number, at::kFloat));
    WriteSafetensors(folder_ / "published.safetensors", tensors);
    return folder_ / "published.safetensors";
  }
  double FirstTau(const std::string& run) {
    for (const auto& line : Metrics(run)) {
      if (line["event"] == "train") return line["tau"];
    }
    return NAN;
  }
  double WrittenTau(const std::string& run) {
    return LoadedConfig(folder_ / (run + "/config.toml"), {})->temperature.init;
  }
  bool Said(const std::string& text) const { return errors_.find(text) != std::string::npos; }
  /// A run with these words starts at τ, writes it to its config and says why; a dry run shows it.
  void ExpectStartAt(const char* tau, const std::vector<std::string>& words,
                     const std::string& reason) {
    ASSERT_EQ(Run(Train("run", words)), 0) << errors_;
    EXPECT_NEAR(FirstTau("run"), std::stod(tau), 1e-6);
    EXPECT_EQ(WrittenTau("run"), std::stod(tau));
    EXPECT_TRUE(Said(reason)) << errors_;
    std::vector<std::string> dry = Train("dry", words);
    dry.push_back("--dry-run");
    ASSERT_EQ(Run(dry), 0) << errors_;
    EXPECT_NE(output_.find(std::string(" ") + tau), std::string::npos) << output_;
  }
};

TEST_F(StartingFromWeights, AConstantTemperatureIsTheConfigs) {
  ExpectStartAt("0.07",
                {"objective.name=fastclip_v1", "temperature.init=0.07",
                 "model.pretrained=" + With("logit_scale", std::log(100.0)), "train.epochs=1"},
                "using temperature.init = 0.07; temperature.from = \"weights\" would use the "
                "weights' temperature, 0.01");
}

TEST_F(StartingFromWeights, TheKeyTakesTheWeights) {
  ExpectStartAt("0.02",
                {"objective.name=fastclip_v1", "temperature.init=0.07", "temperature.from=weights",
                 "model.pretrained=" + With("logit_scale", -std::log(0.02)), "train.epochs=1"},
                "using the weights' temperature, 0.02; temperature.from = \"config\" would use "
                "temperature.init = 0.07");
}

TEST_F(StartingFromWeights, ALearnedTemperatureGoesOnFromTheWeights) {
  const std::string pretrained = "model.pretrained=" + With("logit_scale", -std::log(0.02));
  const std::vector<std::string> words = {"temperature.init=0.07", "temperature.lr=1e-9",
                                          pretrained, "train.epochs=1"};
  ASSERT_EQ(Run(Train("run", words)), 0) << errors_;
  EXPECT_NEAR(FirstTau("run"), 0.02, 1e-5);
  EXPECT_EQ(WrittenTau("run"), 0.02);
  std::vector<std::string> longer = words;
  longer.insert(longer.end(), {"train.epochs=2", "resume=true"});
  ASSERT_EQ(Run(Train("run", longer)), 0) << errors_;
  EXPECT_EQ(WrittenTau("run"), 0.02);
  std::vector<std::string> config = words;
  config.emplace_back("temperature.from=config");
  ASSERT_EQ(Run(Train("other", config)), 0) << errors_;
  EXPECT_NEAR(FirstTau("other"), 0.07, 1e-5);
}

TEST_F(StartingFromWeights, ATemperatureASampleBeginsAsTheKeySays) {
  const std::vector<std::string> words = {
      "objective.name=fastclip_v2",
      "temperature.schedule=const",
      "temperature.lr=0",
      "temperature.init=0.07",
      "train.epochs=1",
      "model.pretrained=" + With("logit_scale", -std::log(0.02))};
  ASSERT_EQ(Run(Train("run", words)), 0) << errors_;
  EXPECT_NEAR(FirstTau("run"), 0.07, 1e-6);
  std::vector<std::string> weights = words;
  weights.emplace_back("temperature.from=weights");
  ASSERT_EQ(Run(Train("other", weights)), 0) << errors_;
  EXPECT_NEAR(FirstTau("other"), 0.02, 1e-6);
}

TEST_F(StartingFromWeights, TheSigmoidLosssBiasFollowsTheSameKey) {
  const std::vector<std::string> words = {"objective.name=siglip", "train.epochs=1",
                                          "model.pretrained=" + With("logit_bias", -3)};
  ASSERT_EQ(Run(Train("run", words)), 0) << errors_;
  EXPECT_TRUE(
      Said("using the weights' logit_bias, -3; temperature.from = \"config\" would use "
           "temperature.logit_bias = -10"))
      << errors_;
  std::vector<std::string> config = words;
  config.emplace_back("temperature.from=config");
  ASSERT_EQ(Run(Train("other", config)), 0) << errors_;
  EXPECT_TRUE(
      Said("using temperature.logit_bias = -10; temperature.from = \"weights\" would use the "
           "weights' logit_bias, -3"))
      << errors_;
  EXPECT_EQ(LoadedConfig(folder_ / "run/config.toml", {})->temperature.logit_bias, -3);
}

TEST_F(StartingFromWeights, TheKeyWithoutWeightsIsAnError) {
  EXPECT_EQ(Run(Train("run", {"temperature.from=weights"})), 2);
  EXPECT_TRUE(Said("needs weights to start from")) << errors_;
}

TEST_F(StartingFromWeights, WhatShapesDoNotShowIsCompared) {
  std::string model = ReadText(folder_ / "model.toml");
  std::ofstream(folder_ / "quick.toml") << "quick_gelu = true\n" << model;
  model.replace(model.find("heads = 2"), 9, "heads = 4");
  std::ofstream(folder_ / "heads.toml") << model;
  const std::string quick = "model.name=" + (folder_ / "quick.toml"),
                    heads = "model.name=" + (folder_ / "heads.toml");
  for (const std::string& init :
       {"train.init=" + (folder_ / "first"), "model.pretrained=" + Weights()}) {
    EXPECT_EQ(Run(Train("run", {init, quick})), 2);
    EXPECT_TRUE(Said("have quick_gelu = false, but model quick has true")) << errors_;
    EXPECT_EQ(Run(Train("run", {init, heads})), 2);
    EXPECT_TRUE(Said("have text.heads = 2, but model heads has 4")) << errors_;
    std::vector<std::string> dry = Train("run", {init, heads});
    dry.emplace_back("--dry-run");
    EXPECT_EQ(Run(dry), 2);
  }
  EXPECT_EQ(Run({"eval", "retrieval", Weights(), "--model", folder_ / "quick.toml", "--shards",
                 "synthetic:20"}),
            2);
  EXPECT_TRUE(Said("set --model to " + (folder_ / "first/model.toml"))) << errors_;
  // A copy elsewhere is taken at the user's word, which is said.
  EXPECT_EQ(
      Run(Train("run", {"model.pretrained=" + With("logit_scale", 3), quick, "train.epochs=1"})),
      0);
  EXPECT_TRUE(Said("Not checked: quick_gelu = true")) << errors_;
}

TEST_F(StartingFromWeights, AFileInACheckpointTellsItsModelToAnEvaluation) {
  EXPECT_EQ(Run({"eval", "retrieval", Weights(), "--shards", "synthetic:20", "--json"}), 0)
      << errors_;
  const std::string own = output_;
  EXPECT_EQ(Run({"eval", "retrieval", Weights(), "--shards", "synthetic:20", "--json", "--model",
                 folder_ / "model.toml"}),
            0)
      << errors_;
  auto one = nlohmann::json::parse(own), two = nlohmann::json::parse(output_);
  one.erase("seconds"), two.erase("seconds");
  one.erase("model"), two.erase("model");
  EXPECT_EQ(one, two);
  EXPECT_EQ(Run({"eval", "retrieval", With("logit_scale", 3), "--shards", "synthetic:20"}), 2);
  EXPECT_TRUE(Said("unknown model; set --model to one of ")) << errors_;
}

TEST_F(StartingFromWeights, ThePrefixOfAWrapperIsStrippedAndSaid) {
  NamedTensors tensors;
  for (const auto& [name, tensor] : ReadSafetensors(Weights()).tensors) {
    tensors.emplace_back("module." + name, tensor);
  }
  WriteSafetensors(folder_ / "wrapped.safetensors", tensors);
  const std::string wrapped = "model.pretrained=" + (folder_ / "wrapped.safetensors");
  ASSERT_EQ(Run(Train("run", {wrapped, "train.epochs=1"})), 0) << errors_;
  EXPECT_TRUE(Said("stripped the prefix 'module.' of its tensor names")) << errors_;
}

TEST_F(StartingFromWeights, WeightsThatAreNotFiniteAreRefusedByName) {
  NamedTensors tensors = ReadSafetensors(Weights()).tensors;
  for (auto& [name, tensor] : tensors) {
    if (name == "visual.proj") tensor[0][0] = NAN;
  }
  WriteSafetensors(folder_ / "nan.safetensors", tensors);
  EXPECT_EQ(Run(Train("run", {"model.pretrained=" + (folder_ / "nan.safetensors")})), 1);
  EXPECT_TRUE(Said("tensor visual.proj holds a NaN")) << errors_;
  EXPECT_EQ(Run({"eval", "retrieval", folder_ / "nan.safetensors", "--model",
                 folder_ / "model.toml", "--shards", "synthetic:20"}),
            1);
}

}  // namespace
}  // namespace fastclip
