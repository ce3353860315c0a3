#include <signal.h>

#include <cerrno>
#include <cstdint>
#include <filesystem>

#include "tests/pipeline/shard_files.h"
#include "tests/support/fake_source.h"
#include "tests/trainer/fault_fixture.h"

namespace fastclip {
namespace {

/// Such runs on two shards.
class RunFaults : public Faults {
 protected:
  void SetUp() override {
    Training::SetUp();
    for (const char* shard : {"0.tar", "1.tar"}) WritePictures(shard);
  }
  void WritePictures(const std::string& shard) {
    Members members;
    for (int i = 0; i < 100; ++i) {
      const std::string key = shard.substr(0, 1) + std::to_string(i);
      std::string image = AsString(PngOf(i));
      if (i % 20 == 3) image.resize(image.size() / 2);
      members.emplace_back(key + ".png", image);
      members.emplace_back(key + ".txt", "picture " + key);
    }
    WriteShard(folder_ / shard, members);
  }
  std::vector<std::string> Words(std::vector<std::string> more = {}) {
    more.insert(more.begin(),
                {"data.train=" + (folder_ / "{0..1}.tar"), "train.epochs=3", "pipeline.prefetch=1",
                 "checkpoint.every_epochs=0", "data.max_skips_per_mille=500"});
    return more;
  }
  std::vector<std::string> Resumed(std::vector<std::string> words = {}) {
    words.push_back("resume=true");
    return Train("cut", Words(words));
  }
};

TEST_F(RunFaults, SaveTheLastStepWhereTheDataCanNoLongerBeRead) {
  const std::vector<std::string> words = Words({"checkpoint.every_steps=5"});
  ASSERT_EQ(Run(Train("whole", words)), 0) << errors_;
  // ENXIO is not tried again: a device that is gone. A start reads a third of so much.
  ASSERT_EQ(RunWith("pread 1.tar$ 150 " + std::to_string(ENXIO), Train("cut", words)), 1)
      << errors_;
  EXPECT_NE(errors_.find("1.tar"), std::string::npos) << errors_;
  const int saved = SavedStep();
  ASSERT_FALSE(Metrics("cut").empty());
  EXPECT_EQ(Metrics("cut").back()["step"], saved);
  ASSERT_EQ(Run(Resumed({"checkpoint.every_steps=5"})), 0) << errors_;
  EXPECT_NE(errors_.find("at step " + std::to_string(saved) + " of"), std::string::npos) << errors_;
  ExpectSameEnd("whole", "cut", Metrics("whole").back()["step"]);
}

TEST_F(RunFaults, SaveOnAllRanksWhereOneCannotReadItsData) {
  std::vector<std::string> words = Train("cut", Words());
  words.insert(words.end(), {"--ranks", "2"});
  ASSERT_EQ(RunWith("pread 1.tar$ 110 " + std::to_string(ENXIO) + " 1", words), 1) << errors_;
  EXPECT_NE(errors_.find("rank 1: "), std::string::npos) << errors_;
  ASSERT_FALSE(Metrics("cut").empty());
  EXPECT_EQ(Metrics("cut").back()["step"], SavedStep());
  words.push_back("resume=true");
  EXPECT_EQ(Run(words), 0) << errors_;
}

TEST_F(RunFaults, SaveWhereALogCannotBeWrittenAndKeepItsLines) {
  const std::vector<std::string> words = Words({"checkpoint.every_steps=5"});
  ASSERT_EQ(Run(Train("whole", words)), 0) << errors_;
  for (const char* log : {"metrics.jsonl", "tfevents", "quarantine.jsonl"}) {
    std::filesystem::remove_all(folder_ / "cut");
    ASSERT_EQ(
        RunWith(Full(log, log == std::string("quarantine.jsonl") ? 0 : 8), Train("cut", words)), 1)
        << log << errors_;
    EXPECT_NE(errors_.find("No space left on device"), std::string::npos) << errors_;
    EXPECT_GE(SavedStep(), 5) << log;
    ASSERT_EQ(Run(Resumed({"checkpoint.every_steps=5"})), 0) << errors_;
    ExpectSameEnd("whole", "cut", Metrics("whole").back()["step"]);
  }
}

TEST_F(RunFaults, TellBothErrorsWhereTheLastStepCannotBeSavedEither) {
  ASSERT_EQ(RunWith(Full("/step_6.tmp/", 0), Train("cut", Words({"checkpoint.every_steps=6"}))), 1)
      << errors_;
  EXPECT_NE(errors_.find("step 6 could not be saved: "), std::string::npos) << errors_;
  std::filesystem::remove_all(folder_ / "cut");
  ASSERT_EQ(RunWith("write /cut/ 30 " + std::to_string(ENOSPC), Train("cut", Words())), 1)
      << errors_;
  EXPECT_NE(errors_.find("; then step "), std::string::npos) << errors_;
  EXPECT_NE(errors_.find(" could not be saved: "), std::string::npos) << errors_;
}

TEST_F(RunFaults, SaveWhereAnEvaluationCannotReadItsData) {
  WritePictures("9.tar");
  const std::vector<std::string> words = Words({"data.val=" + (folder_ / "9.tar")});
  ASSERT_EQ(Run(Train("whole", words)), 0) << errors_;
  ASSERT_EQ(RunWith("pread 9.tar$ 170 " + std::to_string(ENXIO), Train("cut", words)), 1)
      << errors_;
  EXPECT_EQ(Checkpoints("cut"), std::vector<std::string>{"step_" + std::to_string(SavedStep())});
  ASSERT_EQ(Run(Resumed({"data.val=" + (folder_ / "9.tar")})), 0) << errors_;
  EXPECT_EQ(Metrics("whole"), Metrics("cut"));
}

TEST_F(RunFaults, SayOnceThatADiskWhichFillsWillNotHoldAllCheckpoints) {
  ASSERT_EQ(Run(Train("whole", {"train.epochs=1"})), 0) << errors_;
  EXPECT_EQ(errors_.find("the disk of"), std::string::npos) << errors_;
  std::uintmax_t bytes = 0;
  for (const auto& file :
       std::filesystem::directory_iterator(folder_ / "whole/checkpoints/step_12")) {
    bytes += file.file_size();
  }
  // The run looks twice at its start and twice at the first of four saves.
  const std::string filled = "statvfs /filling 4 " + std::to_string(bytes * 3 / 2);
  ASSERT_EQ(RunWith(filled, Train("filling")), 0) << errors_;
  const std::size_t said = errors_.find(" free, but the next 3 checkpoints need ");
  ASSERT_NE(said, std::string::npos) << errors_;
  EXPECT_EQ(errors_.find("checkpoints need", said + 40), std::string::npos) << errors_;
  EXPECT_EQ(Checkpoints("filling").size(), 3U);
}

TEST_F(RunFaults, ASecondCtrlCSaysWhatIsLost) {
  Plan("write model.safetensors 0 0");  // a slow disk
  Program program(folder_.path(), Train("run", {"train.epochs=10000", "train.log_every=1",
                                                "checkpoint.every_epochs=0"}));
  Unplan();
  while (program.running() && Metrics("run").size() < 3) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  program.Signal(SIGINT);
  while (program.running() && program.errors().find("saving at step ") == std::string::npos) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(550));  // later than a press in haste
  program.Signal(SIGINT);
  EXPECT_EQ(program.Wait(), 130);
  EXPECT_NE(program.errors().find("stopped without saving: "), std::string::npos)
      << program.errors();
  EXPECT_NE(program.errors().find("no checkpoint was saved yet, "), std::string::npos)
      << program.errors();
}

TEST_F(RunFaults, OutputThatNobodyTakesDoesNotEndTraining) {
  for (const char* to : {"2>/dev/full", "2>&-", "2>&1 >/dev/null | true", "<&- >&- 2>&-"}) {
    const std::string run = folder_ / "silent";
    std::string command = "set -o pipefail; '" FASTCLIP_BINARY "'";
    for (const std::string& word : Train("silent", {"train.epochs=1"}))
      command += " '" + word + "'";
    const std::string shell = "bash -c \"" + command + " " + to + "\"";
    EXPECT_EQ(std::system(shell.c_str()), 0) << to;
    EXPECT_EQ(Checkpoints("silent"), std::vector<std::string>{"step_12"}) << to;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(run)) {
      if (!entry.is_regular_file() || entry.path().extension() == ".safetensors") continue;
      if (entry.path().filename() == "console.log") continue;  // messages belong there
      EXPECT_EQ(ReadText(entry.path()).find("parameters;"), std::string::npos) << entry.path();
    }
    std::filesystem::remove_all(run);
  }
}

}  // namespace
}  // namespace fastclip
