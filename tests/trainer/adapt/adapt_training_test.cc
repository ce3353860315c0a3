#include <algorithm>
#include <cmath>
#include <map>

#include "tests/trainer/training_fixture.h"
#include "trainer/adapters/adapter_file.h"
#include "trainer/adapters/column_sites.h"
#include "trainer/state/safetensors.h"

// `fastclip adapt` as a user runs it.

namespace fastclip {
namespace {

class Adapting : public Training {
 protected:
  static constexpr const char* kRecipe =
      "adapt.tuners=[\"lora image.block.*.{q,v} r=2\", \"s2ft text.block.*.fc2 channels=4\", "
      "\"p_adapter *.block.*.mha r=2\"]";

  void SetUp() override {
    Training::SetUp();
    ASSERT_EQ(Run(Train("base", {"train.epochs=1"})), 0) << errors_;
    std::filesystem::copy(folder_ / "base/checkpoints/step_12/model.safetensors", base());
  }
  std::string base() const { return folder_ / "base.safetensors"; }
  std::vector<std::string> Adapt(const std::string& run, std::vector<std::string> words = {},
                                 const std::string& recipe = kRecipe) {
    std::vector<std::string> all = Train(run, {"model.pretrained=" + base(), recipe});
    all.front() = "adapt";
    all.insert(all.end(), words.begin(), words.end());
    return all;
  }
  std::string File(const std::string& run, int step, const std::string& name) {
    return ReadText(folder_ / (run + "/checkpoints/step_" + std::to_string(step) + "/" + name));
  }
  /// Which columns S²FT trained, by site.
  std::map<std::string, std::vector<std::int64_t>> Indices(const std::string& run, int step = 12) {
    std::map<std::string, std::vector<std::int64_t>> all;
    const Adapter adapter =
        ReadAdapter(folder_ / (run + "/checkpoints/step_" + std::to_string(step)));
    for (const ColumnSite& at : ColumnSites(adapter)) {
      const std::int64_t* first = at.index.const_data_ptr<std::int64_t>();
      all[at.site.id()] = {first, first + at.index.numel()};
    }
    return all;
  }
  void ExpectError(const std::vector<std::string>& words, const std::string& text, int code = 2) {
    EXPECT_EQ(Run(words), code) << errors_;
    EXPECT_NE(errors_.find(text), std::string::npos) << errors_;
  }
};

TEST_F(Adapting, ACheckpointIsAnAdapterFolderThatCanBeEvaluatedAndMerged) {
  ASSERT_EQ(Run(Adapt("one", {"train.epochs=2"})), 0) << errors_;
  EXPECT_FALSE(std::filesystem::exists(folder_ / "one/checkpoints/step_24/model.safetensors"));
  ASSERT_EQ(Run({"adapt", "info", folder_ / "one/checkpoints/step_24"}), 0) << errors_;
  EXPECT_NE(output_.find("p_adapter"), std::string::npos) << output_;
  const std::string shards = "synthetic:60";
  ASSERT_EQ(Run({"eval", "retrieval", folder_ / "one", "--shards", shards, "--json"}), 0)
      << errors_;
  const auto of_run = nlohmann::json::parse(output_);
  for (const char* adapter : {"one", "one/checkpoints/step_24"}) {
    ASSERT_EQ(Run({"eval", "retrieval", base(), "--adapter", folder_ / adapter, "--model",
                   folder_ / "model.toml", "--shards", shards, "--json"}),
              0)
        << errors_;
    EXPECT_EQ(of_run["image_to_text_mean_rank"],
              nlohmann::json::parse(output_)["image_to_text_mean_rank"]);
  }
}

TEST_F(Adapting, AResumedRunEqualsAnUninterruptedOne) {
  ASSERT_EQ(Run(Adapt("whole", {"train.epochs=2", "checkpoint.every_steps=5"})), 0) << errors_;
  ASSERT_EQ(Run(Adapt("parts", {"train.epochs=2", "checkpoint.every_steps=5"})), 0) << errors_;
  for (const char* step : {"step_24", "step_20"}) {
    std::filesystem::remove_all(folder_ / ("parts/checkpoints/" + std::string(step)));
  }
  ASSERT_EQ(Run({"adapt", folder_ / "parts", "resume=true"}), 0) << errors_;
  for (const char* file : {"adapter_model.safetensors", "optimizer.safetensors",
                           "state_0.safetensors", "adapter_config.json"}) {
    EXPECT_TRUE(File("whole", 24, file) == File("parts", 24, file)) << file;
  }
}

TEST_F(Adapting, TwoRanksTrainTheSameAdapterUpToRounding) {
  const std::vector<std::string> words = {"train.epochs=1", "train.precision=fp64",
                                          "train.micro_batches=2"};
  ASSERT_EQ(Run(Adapt("alone", words)), 0) << errors_;
  std::vector<std::string> both = Adapt("both", words);
  both.insert(both.end(), {"--ranks", "2"});
  ASSERT_EQ(Run(both), 0) << errors_;
  const auto alone = Metrics("alone"), ranks = Metrics("both");
  ASSERT_EQ(alone.size(), ranks.size());
  for (std::size_t i = 0; i < alone.size(); ++i) {
    if (alone[i]["event"] != "train") continue;
    EXPECT_NEAR(alone[i]["loss"].get<double>(), ranks[i]["loss"].get<double>(), 1e-9);
  }
}

TEST_F(Adapting, DataChoosesTheSameColumnsOnAllRanksAndAResumeKeepsThem) {
  for (const char* select : {"activation", "product order=largest", "gradient"}) {
    SCOPED_TRACE(select);
    const std::string name = std::string(select).substr(0, std::string_view(select).find(' '));
    const std::string recipe =
        "adapt.tuners=[\"s2ft *.block.*.{o,fc2} channels=5 select=" + std::string(select) + "\"]";
    const std::vector<std::string> words = {"train.epochs=1", "train.precision=fp64",
                                            "adapt.calibration_batches=3"};
    ASSERT_EQ(Run(Adapt("alone-" + name, words, recipe)), 0) << errors_;
    EXPECT_NE(errors_.find("measured on the batches of the first 3 steps"), std::string::npos)
        << errors_;
    std::vector<std::string> both = Adapt("both-" + name, words, recipe);
    both.insert(both.end(), {"train.micro_batches=2", "--ranks", "2"});
    ASSERT_EQ(Run(both), 0) << errors_;
    const auto alone = Indices("alone-" + name);
    EXPECT_EQ(alone.size(), 4);
    EXPECT_EQ(alone, Indices("both-" + name));
    ASSERT_EQ(Run({"adapt", folder_ / ("alone-" + name), "resume=true", "train.epochs=2"}), 0)
        << errors_;
    EXPECT_EQ(errors_.find("measured on"), std::string::npos) << errors_;
    EXPECT_EQ(alone, Indices("alone-" + name, 24));
  }
}

TEST_F(Adapting, ColumnsOfExcludedAdaptersAreLeftToThem) {
  const std::string recipe = "adapt.tuners=[\"s2ft *.block.*.{o,fc2} channels=20 select=weight\"]";
  ASSERT_EQ(Run(Adapt("first", {"train.epochs=1"}, recipe)), 0) << errors_;
  const std::string first = folder_ / "first", exclude = "adapt.exclude=[\"" + first + "\"]";
  ASSERT_EQ(Run(Adapt("second", {"train.epochs=1", exclude}, recipe)), 0) << errors_;
  const auto theirs = Indices("first");
  for (const auto& [site, index] : Indices("second")) {
    for (const std::int64_t column : index) {
      EXPECT_EQ(std::ranges::count(theirs.at(site), column), 0) << site;
    }
  }
  const std::string third = folder_ / "second/checkpoints/step_12";
  const std::string both = "adapt.exclude=[\"" + first + "\", \"" + third + "\"]";
  ExpectError(Adapt("third", {both}, recipe), "heads at image.block.0.o, but only 0 can be chosen");
  ExpectError(Adapt("third", {both, "--dry-run"}, recipe), "but only 0 can be chosen");
  ExpectError(Adapt("x", {exclude}, "adapt.tuners=[\"lora image.block.*.q\"]"), "no s2ft tuner");
  ExpectError(Adapt("x", {"adapt.exclude=[\"nowhere\"]"}, recipe), "nowhere: does not exist");
  ExpectError(Adapt("x", {"adapt.exclude=[\"" + (folder_ / "base") + "\"]"}, recipe),
              "is a whole model, not an adapter");
  ExpectError(Adapt("x", {exclude, "model.name=" + ResNetModel()}, recipe),
              "the adapter belongs to model");
  const std::string unit = std::to_string(theirs.at("text.block.0.fc2").front());
  ExpectError(Adapt("x", {exclude}, "adapt.tuners=[\"s2ft text.block.0.fc2 pick=" + unit + "\"]"),
              "belongs to an adapter that is excluded");
  ASSERT_EQ(Run(Adapt("lora", {"train.epochs=1"}, "adapt.tuners=[\"lora image.block.*.q\"]")), 0)
      << errors_;
  ExpectError(Adapt("x", {"adapt.exclude=[\"" + (folder_ / "lora") + "\"]"}, recipe),
              "has no columns of S²FT");
  ASSERT_EQ(Run(Train("other", {"train.epochs=1", "train.seed=7"})), 0) << errors_;
  std::filesystem::copy(folder_ / "other/checkpoints/step_12/model.safetensors", base(),
                        std::filesystem::copy_options::overwrite_existing);
  ExpectError(Adapt("x", {exclude}, recipe), "other weights");
}

TEST_F(Adapting, TheTemperatureTrainsUnlessTheKeyKeepsIt) {
  const auto scale_of = [](const NamedTensors& tensors) {
    const auto found = std::ranges::find(tensors, "logit_scale", &NamedTensors::value_type::first);
    return found == tensors.end() ? std::nan("") : found->second.item<double>();
  };
  const double before = scale_of(ReadSafetensors(base()).tensors);
  const auto after = [&](const std::string& flag) {
    EXPECT_EQ(Run(Adapt(flag, {"train.epochs=1", "adapt.logit_scale=" + flag})), 0) << errors_;
    return scale_of(ReadAdapter(folder_ / (flag + "/checkpoints/step_12")).tensors);
  };
  EXPECT_TRUE(std::isnan(after("false"))) << "the adapter leaves the base's as it is";
  EXPECT_GT(std::abs(after("true") - before), 1e-6);
}

TEST_F(Adapting, ADryRunNamesSitesAndParameters) {
  ASSERT_EQ(Run(Adapt("dry", {"--dry-run"})), 0) << errors_;
  EXPECT_NE(output_.find("lora image.block.*.{q,v} r=2: 2 sites, 256 parameters"),
            std::string::npos)
      << output_;
}

TEST_F(Adapting, WhatCannotBeIsRefusedBeforeItStarts) {
  ExpectError(Adapt("x", {}, "adapt.tuners=[]"), "adapt.tuners is empty");
  ExpectError(Adapt("x", {}, "adapt.tuners=[\"lora image.block.9.q\"]"), "has blocks 0 to 0");
  ExpectError(Adapt("x", {"model.pretrained="}), "set model.pretrained");
  ExpectError(Adapt("x", {"model.lock_image=true"}), "already freezes");
  ASSERT_EQ(Run(Adapt("one", {"train.epochs=1"})), 0) << errors_;
  ExpectError(Adapt("one", {"resume=true", "train.epochs=2"},
                    "adapt.tuners=[\"lora image.block.*.q r=4\"]"),
              "adapt.tuners");
  std::vector<std::string> from = Train("y", {"train.init=" + (folder_ / "one")});
  ExpectError(from, "is an adapter, not a whole model");
  ASSERT_EQ(Run(Train("other", {"train.epochs=1", "train.seed=7"})), 0) << errors_;
  std::filesystem::copy(folder_ / "other/checkpoints/step_12/model.safetensors", base(),
                        std::filesystem::copy_options::overwrite_existing);
  ExpectError(Adapt("one", {"resume=true", "train.epochs=2"}), "other weights", 1);
}

}  // namespace
}  // namespace fastclip
