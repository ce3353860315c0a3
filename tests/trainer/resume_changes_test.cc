#include "tests/trainer/training_fixture.h"
#include "trainer/state/checkpoint_meta.h"

namespace fastclip {
namespace {

namespace fs = std::filesystem;

/// A finished run of two epochs, "run", that is resumed with other keys.
class ResumeWithChanges : public Training {
 protected:
  void SetUp() override {
    Training::SetUp();
    ASSERT_EQ(Run(Train("run", {"train.epochs=2"})), 0) << errors_;
  }
  int Resume(std::vector<std::string> words = {}) {
    words.push_back("resume=true");
    return Run(Train("run", words));
  }
  bool Said(const std::string& text) const { return errors_.find(text) != std::string::npos; }
  std::string Config(const std::string& name) { return ReadText(folder_ / ("run/" + name)); }
};

TEST_F(ResumeWithChanges, ListsThemAndKeepsTheConfigOfBefore) {
  ASSERT_EQ(Resume({"train.epochs=3", "learning_rate.lr=0.002", "comm.timeout=60"}), 0) << errors_;
  EXPECT_TRUE(Said("resume: train.epochs 2 → 3 (changes results)")) << errors_;
  EXPECT_TRUE(Said("resume: learning_rate.lr 0.001 → 0.002 (changes results)")) << errors_;
  EXPECT_TRUE(Said("resume: comm.timeout 120 → 60 (changes no result)")) << errors_;
  EXPECT_TRUE(Said("resume: jumps at step 24: learning rate 0 → 0.0006")) << errors_;
  EXPECT_NE(Config("config.1.toml").find("epochs = 2\n"), std::string::npos);
  EXPECT_NE(Config("config.toml").find("epochs = 3\n"), std::string::npos);
  ASSERT_EQ(Resume({"train.epochs=3", "learning_rate.lr=0.002", "comm.timeout=60"}), 0) << errors_;
  EXPECT_FALSE(Said("→")) << errors_;
  EXPECT_FALSE(fs::exists(folder_ / "run/config.2.toml"));
}

TEST_F(ResumeWithChanges, TellsOfAnEditedConfigWhatTheCheckpointWasTrainedWith) {
  std::string text = Config("config.toml");
  const std::string before = "epochs = 2\n";
  text.replace(text.find(before), before.size(), "epochs = 3\n");
  std::ofstream(folder_ / "run/config.toml") << text;
  ASSERT_EQ(Run({"train", folder_ / "run", "resume=true"}), 0) << errors_;
  EXPECT_TRUE(Said("resume: train.epochs 2 → 3 (changes results)")) << errors_;
}

TEST_F(ResumeWithChanges, ReadsTheConfigFileWhereAnOlderCheckpointDoesNotTell) {
  const std::string file = folder_ / "run/checkpoints/step_24/checkpoint.json";
  CheckpointDocument document = ParseDocument(ReadText(file));
  ASSERT_EQ(document.meta.config.at("train.epochs"), "2");
  document.meta.config.clear();
  std::ofstream(file) << FormatDocument(document);
  ASSERT_EQ(Resume({"train.epochs=3"}), 0) << errors_;
  EXPECT_TRUE(Said("resume: train.epochs 2 → 3 (changes results)")) << errors_;
}

TEST_F(ResumeWithChanges, KeepsWhatCountsAtAStartAlone) {
  ASSERT_EQ(Resume({"train.epochs=3", "temperature.init=0.1"}), 0) << errors_;
  EXPECT_TRUE(Said("temperature.init 0.07 → 0.1 (used only when a run starts; ignored)"))
      << errors_;
  EXPECT_EQ(Config("config.toml").find("init = 0.1"), std::string::npos);
  ASSERT_EQ(Resume({"train.epochs=3"}), 0) << errors_;
  EXPECT_FALSE(Said("temperature.init")) << errors_;
  EXPECT_TRUE(Said("nothing is left to train: step 36 of 36")) << errors_;
}

TEST_F(ResumeWithChanges, RefusesFewerEpochsThanAreDone) {
  EXPECT_EQ(Resume({"train.epochs=1"}), 2);
  EXPECT_TRUE(Said("train.epochs = 1 ends at step 12, but this run is at step 24")) << errors_;
  EXPECT_FALSE(fs::exists(folder_ / "run/config.1.toml")) << "a refusal writes nothing";
}

TEST_F(ResumeWithChanges, PointsToTheRunsOwnConfigWhereAnotherDiffers) {
  EXPECT_EQ(Resume({"model.name=" + ResNetModel(), "train.batch_size=32"}), 2);
  EXPECT_TRUE(
      Said("run/config.toml has other values of train.batch_size; " FASTCLIP_BINARY " train "))
      << errors_;
  EXPECT_EQ(Resume({"train.batch_size=32"}), 2);
  EXPECT_TRUE(Said("uses the run's own config")) << errors_;
  EXPECT_FALSE(Said("has other values")) << "it is said once: " << errors_;
  EXPECT_EQ(Run({"train", folder_ / "run", "resume=true"}), 0) << errors_;
  EXPECT_FALSE(Said("has other values")) << errors_;
}

TEST_F(ResumeWithChanges, IsRefusedWhereSgdmWouldGetOrLoseItsMomentum) {
  const std::vector<std::string> words = {"train.epochs=1", "optimizer.name=sgdm",
                                          "optimizer.momentum=0"};
  ASSERT_EQ(Run(Train("sgdm", words)), 0) << errors_;
  EXPECT_EQ(Run(Train("sgdm", {"train.epochs=2", "optimizer.name=sgdm", "optimizer.momentum=0.9",
                               "resume=true"})),
            2);
  EXPECT_TRUE(Said("optimizer.momentum was 0.0 in this run and is 0.9 now")) << errors_;
}

TEST_F(ResumeWithChanges, GoesOnFromTheRunFolderAloneWhereverItWasMoved) {
  ASSERT_EQ(Run(Train("whole", {"train.epochs=4"})), 0) << errors_;
  ASSERT_EQ(Run(Train("cut", {"train.epochs=4", "checkpoint.every_steps=12"})), 0) << errors_;
  fs::remove_all(folder_ / "cut/checkpoints/step_48");
  fs::remove(folder_ / "model.toml");
  fs::remove(folder_ / "run.toml");
  fs::rename(folder_ / "cut", folder_ / "moved");
  ASSERT_EQ(Run({"train", folder_ / "moved", "resume=true"}), 0) << errors_;
  EXPECT_TRUE(Said("resumed " + (folder_ / "moved/checkpoints/step_36"))) << errors_;
  EXPECT_FALSE(fs::exists(folder_ / "cut"));
  EXPECT_EQ(Metrics("whole"), Metrics("moved"));
}

TEST_F(ResumeWithChanges, RefusesAnotherOptimizerBeforeItsStateIsRead) {
  EXPECT_EQ(Resume({"optimizer.name=lamb", "train.epochs=3"}), 2);
  EXPECT_TRUE(Said("optimizer.name was 'adamw' in this run and is 'lamb' now")) << errors_;
  EXPECT_FALSE(fs::exists(folder_ / "run/config.1.toml")) << "a refusal writes nothing";
}

TEST_F(ResumeWithChanges, RefusesAnotherBatchSizeAndNamesAWayThatKeepsWeightsAndEstimators) {
  EXPECT_EQ(Resume({"train.batch_size=32", "train.seed=7"}), 2);
  EXPECT_TRUE(Said("train.batch_size was 16 in this run and is 32 now")) << errors_;
  EXPECT_TRUE(Said("train.seed was 2024 in this run and is 7 now"))
      << "all that differs" << errors_;
  const std::string way = errors_.substr(errors_.find("train.init="));
  const std::string init = way.substr(0, way.find(' '));
  EXPECT_EQ(init, "train.init=" + (folder_ / "run/checkpoints/step_24"));
  ASSERT_EQ(Run(Train("next", {"train.batch_size=32", "train.epochs=1", "gamma.start=0.5", init})),
            0)
      << errors_;
  EXPECT_TRUE(Said("weights and estimators from")) << errors_;
  // Nobody is seen for the first time: the estimators are those of the first run.
  EXPECT_EQ(Metrics("next").front()["first_visits"].get<double>(), 0.0);
}

}  // namespace
}  // namespace fastclip
