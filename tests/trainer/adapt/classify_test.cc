#include <cmath>

#include "tests/pipeline/shard_files.h"
#include "tests/support/fake_source.h"
#include "tests/trainer/training_fixture.h"

// `fastclip adapt` with adapt.task = classify as a user runs it: labels 0 to 5 of synthetic data.

namespace fastclip {
namespace {

class Classifying : public Training {
 protected:
  static constexpr const char* kRecipe =
      "adapt.tuners=[\"lora image.block.*.{q,v} r=2\", \"s2ft image.block.*.fc2 channels=4\"]";

  void SetUp() override {
    Training::SetUp();
    ASSERT_EQ(Run(Train("base", {"train.epochs=1"})), 0) << errors_;
    std::filesystem::copy(folder_ / "base/checkpoints/step_12/model.safetensors", base());
    std::ofstream names(folder_ / "classes.txt");
    for (const char* name :
         {"cat", "dog", "bird", "fish", "cow", "horse", "sheep", "frog", "ant", "bee"}) {
      names << name << '\n';
    }
  }
  std::string base() const { return folder_ / "base.safetensors"; }
  std::vector<std::string> Adapt(const std::string& run, std::vector<std::string> words = {},
                                 const std::string& recipe = kRecipe) {
    std::vector<std::string> all =
        Train(run, {"model.pretrained=" + base(), recipe, "adapt.task=classify",
                    "adapt.classes=\"10\"", "train.epochs=2"});
    all.front() = "adapt";
    all.insert(all.end(), words.begin(), words.end());
    return all;
  }
  std::string File(const std::string& run, int step, const std::string& name) {
    return ReadText(folder_ / (run + "/checkpoints/step_" + std::to_string(step) + "/" + name));
  }
  void ExpectError(const std::vector<std::string>& words, const std::string& text, int code = 2) {
    EXPECT_EQ(Run(words), code) << errors_;
    EXPECT_NE(errors_.find(text), std::string::npos) << errors_;
  }
  nlohmann::json Last(const std::string& run, const std::string& event) {
    nlohmann::json last;
    for (const nlohmann::json& line : Metrics(run)) {
      if (line["event"] == event) last = line;
    }
    return last;
  }
};

TEST_F(Classifying, ALinearProbeLearnsAndIsEvaluated) {
  ASSERT_EQ(
      Run(Adapt("probe", {"data.val=synthetic:60", "learning_rate.lr=0.05"}, "adapt.tuners=[]")), 0)
      << errors_;
  EXPECT_NE(errors_.find("10 classes"), std::string::npos) << errors_;
  EXPECT_FALSE(std::filesystem::exists(folder_ / "probe/checkpoints/step_24/state_0.safetensors"));
  const auto metrics = Metrics("probe");
  EXPECT_NEAR(metrics.front()["loss"].get<double>(), std::log(10.0), 1e-6);  // a head of zeros
  EXPECT_LT(Last("probe", "train")["loss"].get<double>(), std::log(10.0));
  EXPECT_TRUE(Last("probe", "train").contains("accuracy"));
  const auto in_run = Last("probe", "classify");
  EXPECT_EQ(in_run["images"], 60);
  ASSERT_EQ(Run({"eval", "classify", folder_ / "probe", "--shards", "synthetic:60", "--json"}), 0)
      << errors_;
  const auto result = nlohmann::json::parse(output_);
  EXPECT_EQ(result["classify_top1"], in_run["top1"]);
  ASSERT_EQ(Run({"eval", "classify", base(), "--model", folder_ / "model.toml", "--adapter",
                 folder_ / "probe/checkpoints/step_24", "--shards", "synthetic:60"}),
            0)
      << errors_;
  EXPECT_NE(output_.find("class head"), std::string::npos) << output_;
  ASSERT_EQ(Run({"adapt", "info", folder_ / "probe/checkpoints/step_24"}), 0) << errors_;
  EXPECT_NE(output_.find("10 classes"), std::string::npos) << output_;
}

TEST_F(Classifying, AResumedRunEqualsAnUninterruptedOne) {
  for (const char* run : {"whole", "parts"}) {
    ASSERT_EQ(Run(Adapt(run, {"checkpoint.every_steps=5"})), 0) << errors_;
  }
  for (const char* step : {"step_24", "step_20"}) {
    std::filesystem::remove_all(folder_ / ("parts/checkpoints/" + std::string(step)));
  }
  ASSERT_EQ(Run({"adapt", folder_ / "parts", "resume=true"}), 0) << errors_;
  for (const char* file :
       {"adapter_model.safetensors", "optimizer.safetensors", "adapter_config.json"}) {
    EXPECT_TRUE(File("whole", 24, file) == File("parts", 24, file)) << file;
  }
}

TEST_F(Classifying, AReplayOfARunReadsImagesWithLabelsAsItDoes) {
  Members members;
  for (int i = 0; i < 40; ++i) {
    members.emplace_back(std::to_string(i) + ".png", AsString(PngOf(i)));
    members.emplace_back(std::to_string(i) + ".cls", std::to_string(i % 10));
  }
  WriteShard(folder_ / "labels.tar", members);
  ASSERT_EQ(Run(Adapt("probe", {"data.train=" + (folder_ / "labels.tar"), "train.epochs=1"},
                      "adapt.tuners=[]")),
            0)
      << errors_;
  ASSERT_EQ(Run({"shards", "replay", folder_ / "probe", "--epoch", "0"}), 0) << errors_;
  EXPECT_EQ(std::ranges::count(output_, '\n'), 2) << output_;
}

TEST_F(Classifying, TwoRanksAndMicroBatchesTrainTheSame) {
  const std::vector<std::string> words = {"train.precision=fp64", "data.val=synthetic:60"};
  ASSERT_EQ(Run(Adapt("alone", words)), 0) << errors_;
  std::vector<std::string> both = Adapt("both", words);
  both.insert(both.end(), {"train.micro_batches=2", "--ranks", "2"});
  ASSERT_EQ(Run(both), 0) << errors_;
  const auto alone = Metrics("alone"), ranks = Metrics("both");
  ASSERT_EQ(alone.size(), ranks.size());
  for (std::size_t i = 0; i < alone.size(); ++i) {
    if (alone[i]["event"] == "train") {
      EXPECT_NEAR(alone[i]["loss"].get<double>(), ranks[i]["loss"].get<double>(), 1e-9);
      EXPECT_NEAR(alone[i]["gradient_norm"].get<double>(), ranks[i]["gradient_norm"].get<double>(),
                  1e-9);
    } else if (alone[i]["event"] == "classify") {
      EXPECT_EQ(alone[i]["top1"], ranks[i]["top1"]);
    }
  }
}

TEST_F(Classifying, AZeroShotHeadStartsAsTheZeroShotClassifier) {
  const std::string names = folder_ / "classes.txt";
  ASSERT_EQ(
      Run(Adapt("named", {"adapt.classes=" + names, "adapt.head=zeroshot", "adapt.templates=simple",
                          "learning_rate.lr=1e-30", "train.precision=fp64", "train.epochs=1"})),
      0)
      << errors_;
  ASSERT_EQ(Run({"eval", "classify", folder_ / "named", "--shards", "synthetic:60", "--json"}), 0)
      << errors_;
  const auto head = nlohmann::json::parse(output_);
  ASSERT_EQ(Run({"eval", "zeroshot", base(), "--model", folder_ / "model.toml", "--shards",
                 "synthetic:60", "--classes", names, "--templates", "simple", "--json"}),
            0)
      << errors_;
  const auto zeroshot = nlohmann::json::parse(output_);
  EXPECT_NEAR(head["classify_top1"].get<double>(), zeroshot["zeroshot_top1"].get<double>(), 0.02);
  EXPECT_NEAR(head["classify_top5"].get<double>(), zeroshot["zeroshot_top5"].get<double>(), 0.02);
  // It trains, and the projection with it.
  ASSERT_EQ(Run(Adapt("trained", {"adapt.classes=" + names, "adapt.head=zeroshot",
                                  "adapt.templates=simple", "adapt.projections=true"})),
            0)
      << errors_;
  const auto metrics = Metrics("trained");
  EXPECT_LT(Last("trained", "train")["loss"].get<double>(), metrics.front()["loss"].get<double>());
}

TEST_F(Classifying, ADryRunPlansIt) {
  ASSERT_EQ(Run(Adapt("dry", {"--dry-run", "data.val=synthetic:20", "objective.name=fastclip_v1"})),
            0)
      << errors_;
  EXPECT_NE(output_.find("labels      10 classes; head linear"), std::string::npos) << output_;
  EXPECT_NE(output_.find("objective.name has no effect with adapt.task = classify"),
            std::string::npos)
      << output_;
  EXPECT_FALSE(std::filesystem::exists(folder_ / "dry"));
}

TEST_F(Classifying, WhatCannotBeIsRefusedBeforeItStarts) {
  ExpectError(Adapt("x", {"adapt.classes="}), "adapt.classes");
  ExpectError(Adapt("x", {"adapt.classes=\"1\""}), "not a valid number of classes");
  ExpectError(Adapt("x", {"adapt.classes=nowhere.txt"}), "nowhere.txt");
  ExpectError(Adapt("x", {"adapt.head=zeroshot"}), "made of class names");
  ExpectError(Adapt("x", {"model.pretrained="}), "a head needs trained weights");
  ExpectError(Adapt("x", {}, "adapt.tuners=[\"lora text.block.0.q\"]"), "would not be trained");
  for (const char* name : {"cat", "dog"}) {
    const std::string folder = folder_ / ("set/" + std::string(name));
    std::filesystem::create_directories(folder);
    std::ofstream(folder + "/0.png") << AsString(PngOf(0));
  }
  ExpectError(Adapt("x", {"data.train=" + (folder_ / "set")}),
              "has 2 folders; leave adapt.classes empty to use their names");
  ExpectError(Adapt("x", {"adapt.head=zeroshot", "adapt.classes=" + (folder_ / "classes.txt"),
                          "adapt.templates=nowhere.txt"}),
              "nowhere.txt");
  // No labels: a table of captions alone.
  std::ofstream(folder_ / "pairs.csv") << "filepath,title\na.jpg,a cat\nb.jpg,a dog\n";
  ExpectError(Adapt("x", {"data.train=" + (folder_ / "pairs.csv")}), "adapt.label_key=COLUMN");
  // Another number of classes than the checkpoint's.
  const std::string names = folder_ / "classes.txt";
  ASSERT_EQ(Run(Adapt("named", {"adapt.classes=" + names, "train.epochs=1"})), 0) << errors_;
  ExpectError(Adapt("named", {"resume=true", "adapt.classes=\"12\""}), "adapt.classes");
  std::ofstream(names, std::ios::app) << "wolf\n";
  ExpectError({"adapt", folder_ / "named", "resume=true", "train.epochs=2"},
              "has a head for 10 classes", 1);
  std::ofstream(names) << "dog\ncat\nbird\nfish\ncow\nhorse\nsheep\nfrog\nant\nbee\n";
  ExpectError({"adapt", folder_ / "named", "resume=true", "train.epochs=2"}, "has 'cat' as class 0",
              1);
  ExpectError({"eval", "classify", folder_ / "base", "--shards", "synthetic:60"},
              "has no class head", 1);
}

TEST_F(Classifying, LabelsOutOfRangeAreReplacedAndCounted) {
  ASSERT_EQ(Run(Adapt("some", {"adapt.classes=\"5\"", "data.max_skips_per_mille=500"})), 0)
      << errors_;
  EXPECT_GT(Last("some", "train")["skips"]["bad_label"].get<int>(), 0)
      << Last("some", "train").dump();
}

}  // namespace
}  // namespace fastclip
