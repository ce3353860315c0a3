#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "tests/pipeline/shard_files.h"
#include "tests/support/fake_source.h"
#include "tests/trainer/training_fixture.h"
#include "trainer/run/start_check.h"

namespace fastclip {
namespace {

namespace fs = std::filesystem;

class DryRuns : public Training {
 protected:
  int Dry(std::vector<std::string> words = {}) {
    words.emplace_back("--dry-run");
    return Run(Train("run", words));
  }
  /// A dry run and a start, which say the same.
  void ExpectBothRefuse(const std::vector<std::string>& words, const std::string& reason) {
    for (const bool dry : {true, false}) {
      EXPECT_NE(dry ? Dry(words) : Run(Train("run", words)), 0) << reason;
      EXPECT_NE(errors_.find(reason), std::string::npos) << dry << ": " << errors_;
      EXPECT_EQ(std::count(errors_.begin(), errors_.end(), '\n'), 1) << errors_;
    }
  }
  bool Says(const std::string& text) const { return output_.find(text) != std::string::npos; }
  std::vector<std::string> Files() const {
    std::vector<std::string> all;
    for (const auto& entry : fs::recursive_directory_iterator(folder_.path())) {
      const std::string name = entry.path().filename();
      if (name.find("stdout") == std::string::npos && name.find("stderr") == std::string::npos) {
        all.push_back(entry.path());
      }
    }
    std::ranges::sort(all);
    return all;
  }
  void WriteShards() {
    for (const char* name : {"0.tar", "1.tar"}) {
      Members members;
      for (int i = 0; i < 60; ++i) {
        members.emplace_back(std::to_string(i) + ".png", AsString(PngOf(i)));
        members.emplace_back(std::to_string(i) + ".txt", "picture");
      }
      WriteShard(folder_ / name, members);
    }
  }
};

TEST_F(DryRuns, TellOfTheMemoryForTheCopyOfACheckpoint) {
  ASSERT_EQ(Dry(), 0) << errors_;
  EXPECT_TRUE(
      Says(" more host memory from the first save on, for the copy that is written in the "
           "background"))
      << output_;
  for (const char* word : {"checkpoint.async=false", "checkpoint.every_epochs=0"}) {
    ASSERT_EQ(Dry({word}), 0) << errors_;
    EXPECT_FALSE(Says("for the copy")) << output_;
  }
}

TEST_F(DryRuns, WriteNothingNeitherRunNorIndex) {
  WriteShards();
  const std::string list = folder_ / "*.tar";
  ASSERT_EQ(Dry({"data.train=" + list, "data.val=" + (folder_ / "1.tar")}), 0) << errors_;
  const std::vector<std::string> before = Files();
  ASSERT_EQ(Dry({"data.train=" + list, "data.val=" + (folder_ / "1.tar")}), 0) << errors_;
  EXPECT_TRUE(Says("120 records, 2 tar files")) << output_;
  EXPECT_TRUE(Says("device      cpu: ")) << output_;
  EXPECT_TRUE(Says("threads     1 thread for training, ")) << output_;
  EXPECT_EQ(Files(), before);
  for (const std::string& file : before) {
    const std::string name = fs::path(file).filename();
    EXPECT_EQ(name.find("fastclip"), std::string::npos) << "an index: " << file;
  }
  EXPECT_FALSE(fs::exists(folder_ / "run"));
}

TEST_F(DryRuns, PlanARunBeforeItsDataExists) {
  const std::vector<std::string> words = {
      "data.train=" + (folder_ / "a.tar::") + (folder_ / "b.tar"), "data.val=nowhere.tar",
      "eval.zeroshot=nowhere2.tar"};
  EXPECT_NE(Dry(words), 0);
  auto with = words;
  with.insert(with.end(), {"--samples", "1000"});
  ASSERT_EQ(Dry(with), 0) << errors_;
  EXPECT_TRUE(Says("planned for 1000 records, not opened")) << output_;
  EXPECT_TRUE(Says("4 epochs of 62 = 248 steps")) << output_;
  EXPECT_TRUE(Says("data.val = nowhere.tar: not opened")) << output_;
  with.back() = "1000,200";
  with.emplace_back("data.repeats=[1, 2]");
  ASSERT_EQ(Dry(with), 0) << errors_;
  EXPECT_TRUE(Says("b.tar: 398 of an epoch's 1392 samples, each record 1.99 times")) << output_;
  with[with.size() - 2] = "1000";
  EXPECT_EQ(Dry(with), 2);
  EXPECT_NE(errors_.find("set one number per source"), std::string::npos) << errors_;
  EXPECT_EQ(Run(Train("run", {"--samples", "10"})), 2) << "a real run has its data";
}

TEST_F(DryRuns, RefuseWhatAStartRefuses) {
  ExpectBothRefuse({"eval.zeroshot=synthetic:6", "eval.zeroshot_classes=" + (folder_ / "none.txt")},
                   "none.txt");
  ExpectBothRefuse({"eval.zeroshot=synthetic:6"}, "eval.zeroshot_classes");
  ExpectBothRefuse({"pipeline.memory=1000"}, "pipeline.memory");
  ExpectBothRefuse({"train.device=cuda"}, "cuda");
  ExpectBothRefuse({"data.val=nowhere.tar"}, "nowhere.tar");
  for (const char* key : {"model.pretrained", "train.init", "train.init_estimators"}) {
    ExpectBothRefuse({std::string(key) + "=" + (folder_ / "nowhere.safetensors")},
                     "nowhere.safetensors");
  }
  std::ofstream(folder_ / "file") << "x";
  ExpectBothRefuse({"run=" + (folder_ / "file/run")}, "cannot create the run folder");
}

TEST_F(DryRuns, RefuseWeightsOfAnotherModelByTheirHeader) {
  ASSERT_EQ(Run(Train("other", {"train.epochs=1", "model.name=" + ResNetModel()})), 0) << errors_;
  const std::string file = folder_ / "other/checkpoints/step_12/model.safetensors";
  std::filesystem::copy(file, folder_ / "bare.safetensors");
  ExpectBothRefuse({"model.pretrained=" + (folder_ / "bare.safetensors")}, "bare.safetensors");
  ExpectBothRefuse({"train.init=" + (folder_ / "bare.safetensors")}, "bare.safetensors");
  ExpectBothRefuse({"train.init_estimators=" + file}, "has no u_im");
}

TEST_F(DryRuns, SayWhetherEstimatorsAreTakenOver) {
  ASSERT_EQ(Run(Train("first", {"train.epochs=1"})), 0) << errors_;
  const std::string init = "train.init=" + (folder_ / "first");
  ASSERT_EQ(Dry({init}), 0) << errors_;
  EXPECT_TRUE(Says("weights and estimators from")) << output_;
  EXPECT_TRUE(Says("gamma is 1 in the first epoch, which replaces the estimators")) << output_;
  ASSERT_EQ(Dry({init, "gamma.start=0.9"}), 0) << errors_;
  EXPECT_FALSE(Says("which replaces the estimators")) << output_;
  ASSERT_EQ(Dry({init, "objective.name=fastclip_v2", "temperature.schedule=const",
                 "temperature.lr=0.01"}),
            0)
      << errors_;
  EXPECT_TRUE(Says("its estimators belong to another objective and are not used")) << output_;
  ASSERT_EQ(Dry({init, "data.train=synthetic:300"}), 0) << errors_;
  EXPECT_TRUE(Says("its estimators belong to other data and are not used")) << output_;
}

TEST_F(DryRuns, RefuseATableWithoutItsImages) {
  std::ofstream(folder_ / "t.csv") << "filepath,title\nnone/0.jpg,a\nnone/1.jpg,b\n";
  ExpectBothRefuse({"data.train=" + (folder_ / "t.csv")}, "none of the images exists");
  EXPECT_FALSE(fs::exists(folder_ / "run")) << "a start that failed leaves no folder";
}

TEST_F(DryRuns, RefuseATableWhoseCaptionsOrImagesCannotBeRead) {
  std::ofstream(folder_ / "a.gif") << "GIF89a";
  std::string latin = "filepath,title\n", gif = latin;
  for (int i = 0; i < 20; ++i) {
    latin += "a.gif,caf\xE9\n";
    gif += "a.gif,a cat\n";
  }
  std::ofstream(folder_ / "latin.csv") << latin;
  std::ofstream(folder_ / "gif.csv") << gif;
  ExpectBothRefuse({"data.train=" + (folder_ / "latin.csv")},
                   "the captions are not UTF-8; save the table as UTF-8");
  ExpectBothRefuse({"data.train=" + (folder_ / "gif.csv")},
                   "GIF is off; add it with pipeline.formats=");
}

TEST_F(DryRuns, SayWhetherTheRunFolderExists) {
  ASSERT_EQ(Dry({"resume=true"}), 0) << errors_;
  EXPECT_TRUE(Says(" (not created); no checkpoint yet")) << output_;
  EXPECT_TRUE(Says("warning     resume = true, but ")) << output_;
  fs::create_directory(folder_ / "run");
  ASSERT_EQ(Dry({"resume=true"}), 0) << errors_;
  EXPECT_TRUE(Says("/run; no checkpoint yet")) << output_;
}

TEST_F(DryRuns, RefuseAFolderThatIsTakenBeforeDataIsLookedAt) {
  ASSERT_EQ(Run(Train("run", {"train.epochs=1"})), 0) << errors_;
  ExpectBothRefuse({"data.train=nowhere.tar"}, "already holds a run (step 12)");
  const int fd = open((folder_ / "run/lock").c_str(), O_RDWR);
  ASSERT_EQ(flock(fd, LOCK_EX | LOCK_NB), 0);
  ExpectBothRefuse({"resume=true"}, "another process trains in this folder");
  close(fd);
}

TEST_F(DryRuns, SayWhatAResumeWouldChangeOrRefuse) {
  ASSERT_EQ(Run(Train("run", {"train.epochs=1"})), 0) << errors_;
  const std::vector<std::string> before = Files();
  ASSERT_EQ(Dry({"resume=true", "train.epochs=3"}), 0) << errors_;
  EXPECT_TRUE(Says("resumes at step 12 of 36")) << output_;
  EXPECT_TRUE(Says("resume: train.epochs 1 → 3 (changes results)")) << output_;
  EXPECT_TRUE(Says("jumps at step 12: learning rate 0 → ")) << output_;
  EXPECT_EQ(Files(), before);
  ExpectBothRefuse({"resume=true", "train.batch_size=32"}, "train.batch_size was 16");
}

TEST_F(DryRuns, WarnOfSchedulesThatAreLongerThanTheRunAsAStartDoes) {
  const std::vector<std::string> words = {"train.epochs=1", "learning_rate.warmup=200",
                                          "gamma.decay_epochs=5"};
  const std::string warmup =
      "learning_rate.warmup is 200 steps, but the run has only 12: the learning rate reaches "
      "6e-05, not learning_rate.lr = 0.001";
  const std::string gamma = "gamma.decay_epochs is 5 epochs, but the run has only 1";
  ASSERT_EQ(Dry(words), 0) << errors_;
  EXPECT_TRUE(Says(warmup) && Says(gamma)) << output_;
  ASSERT_EQ(Run(Train("run", words)), 0) << errors_;
  EXPECT_NE(errors_.find("warning: " + warmup), std::string::npos) << errors_;
  EXPECT_NE(errors_.find("warning: " + gamma), std::string::npos) << errors_;
}

TEST_F(DryRuns, MeasureAStepWhereAsked) {
  ASSERT_EQ(Dry({"--measure"}), 0) << errors_;
  EXPECT_TRUE(Says(" s per step of 16 rows on the CPU of this machine")) << output_;
  EXPECT_TRUE(Says("for 48 steps")) << output_;
}

TEST_F(DryRuns, CountTheMemoryOfRecordedStepsAndOfEvaluationsBesideThem) {
  const auto total = [&](std::vector<std::string> words) {
    words.insert(words.end(), {"train.batch_size=1024", "model.trim_text=false", "--samples",
                               "100000", "--gpu-memory", "80GiB"});
    EXPECT_EQ(Dry(words), 0) << errors_;
    const std::string before = output_.substr(0, output_.find(" of GPU memory in total"));
    return before.substr(before.rfind('\n'));
  };
  const std::string graphs = "train.cuda_graphs=true", kept = "as recorded steps keep their memory";
  const std::string plain = total({}), recorded = total({graphs});
  EXPECT_NE(plain, recorded);
  EXPECT_FALSE(Says(kept)) << output_;
  EXPECT_TRUE(Says("note        train.cuda_graphs = true is not yet proved on a GPU")) << output_;
  EXPECT_NE(recorded, total({graphs, "data.val=synthetic:40"}));
  EXPECT_TRUE(Says(kept)) << output_;
}

TEST_F(DryRuns, RefuseToRecordStepsWhoseStateStaysInHostMemory) {
  const std::vector<std::string> words = {"train.cuda_graphs=true",
                                          "model.trim_text=false",
                                          "--gpu-memory",
                                          "80GiB",
                                          "--samples",
                                          "300000000"};
  EXPECT_EQ(Dry(words), 2);
  EXPECT_NE(errors_.find("train.state = \"auto\" keeps one of 2.4 GB in host memory; set "
                         "train.state = \"device\""),
            std::string::npos)
      << errors_;
  auto with = words;
  with.emplace_back("train.state=device");
  EXPECT_EQ(Dry(with), 0) << errors_;
  with.insert(with.end(), {"--ranks", "2"});
  EXPECT_EQ(Dry(with), 2);
  EXPECT_NE(errors_.find("this run has 2 ranks"), std::string::npos) << errors_;
}

TEST(CheckpointSpace, IsForThoseToComeAndOneMore) {
  CheckpointSpace space{.checkpoint_bytes = 1e9, .keep = 3, .present = 0, .free_bytes = 4e9};
  EXPECT_EQ(SpaceWarning(space, "run"), "");
  space.free_bytes = 3.9e9;
  EXPECT_NE(SpaceWarning(space, "run").find("the next 4 checkpoints need 4.0 GB"),
            std::string::npos)
      << SpaceWarning(space, "run");
  space.present = 3;  // the oldest goes when the next is there
  space.free_bytes = 1e9;
  EXPECT_EQ(SpaceWarning(space, "run"), "");
  EXPECT_NO_THROW(CheckSpace(space, "run"));
  space.free_bytes = 0.9e9;
  EXPECT_THROW(CheckSpace(space, "run"), std::runtime_error);
  EXPECT_EQ(SpaceWarning(space, "run"), "") << "that is an error";
}

TEST(BusyHosts, AreNamedFromALoadOfTwoACore) {
  EXPECT_EQ(DescribeLoad(4.0, 2), "");
  EXPECT_NE(DescribeLoad(4.2, 2).find("4.2 on 2 cores"), std::string::npos);
}

}  // namespace
}  // namespace fastclip
