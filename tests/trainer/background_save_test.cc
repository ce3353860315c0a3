#include <signal.h>

#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/trainer/fault_fixture.h"

namespace fastclip {
namespace {

/// Runs that save while they train.
class BackgroundSaves : public Faults {
 protected:
  std::vector<std::string> Words(const std::string& run, const std::vector<std::string>& more,
                                 int ranks = 1) {
    std::vector<std::string> words = {"checkpoint.every_epochs=0"};
    words.insert(words.end(), more.begin(), more.end());
    std::vector<std::string> all = Train(run, words);
    if (ranks > 1) all.insert(all.end(), {"--ranks", std::to_string(ranks)});
    return all;
  }
  void ExpectSameCheckpoints(const std::string& one, const std::string& other) {
    ASSERT_EQ(Checkpoints(one), Checkpoints(other));
    for (const std::string& step : Checkpoints(one)) {
      const auto path = [&](const std::string& run) {
        return folder_ / (run + "/checkpoints/" + step);
      };
      for (const auto& entry : std::filesystem::directory_iterator(path(one))) {
        const std::string name = entry.path().filename();
        const std::string ours = ReadText(entry.path()),
                          theirs = ReadText(path(other) + "/" + name);
        if (name != "checkpoint.json") {
          EXPECT_TRUE(ours == theirs) << step << " " << name;
          continue;
        }
        auto a = nlohmann::json::parse(ours), b = nlohmann::json::parse(theirs);
        for (auto* document : {&a, &b}) {  // what names the run and the key, and rates are logged
          for (const char* own : {"config", "metrics_bytes", "xxh3_of_the_rest"}) {
            document->erase(own);
          }
        }
        EXPECT_EQ(a, b) << step;
      }
    }
  }
  bool Said(const std::string& text) const { return errors_.find(text) != std::string::npos; }
  static void WaitFor(const std::function<bool()>& condition) {
    while (!condition()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
};

TEST_F(BackgroundSaves, GiveTheSameCheckpointsOneAfterTheOther) {
  for (const int ranks : {1, 2}) {
    const std::string number = std::to_string(ranks);
    const std::vector<std::string> words = {"checkpoint.every_steps=1", "train.epochs=1",
                                            "checkpoint.keep=1000"};
    std::vector<std::string> waiting = words;
    waiting.emplace_back("checkpoint.async=false");
    ASSERT_EQ(Run(Words("on" + number, words, ranks)), 0) << errors_;
    ASSERT_EQ(Run(Words("off" + number, waiting, ranks)), 0) << errors_;
    EXPECT_EQ(Checkpoints("on" + number).size(), 12u);
    ExpectSameCheckpoints("on" + number, "off" + number);
  }
}

TEST_F(BackgroundSaves, KilledInTheMiddleOfOneARunResumesFromTheOneBefore) {
  const std::vector<std::string> words = {"checkpoint.every_steps=10"};
  ASSERT_EQ(Run(Words("whole", words)), 0) << errors_;
  Plan("write /step_20.tmp/ 0 0");  // a second for each write
  Program program(folder_.path(), Words("cut", words));
  Unplan();
  WaitFor([&] { return !program.running() || Metrics("cut").size() >= 23; });
  ASSERT_TRUE(program.running()) << program.errors();  // it trains on
  program.Signal(SIGKILL);
  program.Wait();
  EXPECT_EQ(Checkpoints("cut"), (std::vector<std::string>{"step_10", "step_20.tmp"}));
  std::vector<std::string> resume = words;
  resume.emplace_back("resume=true");
  ASSERT_EQ(Run(Words("cut", resume)), 0) << errors_;
  EXPECT_TRUE(Said("checkpoints/step_10 at step 10 of 48")) << errors_;
  ExpectSameEnd("whole", "cut");
}

TEST_F(BackgroundSaves, ThatFailEndTheRunAtItsNextStepsWithTheStateSaved) {
  for (const int ranks : {1, 2}) {
    const std::string number = std::to_string(ranks), run = "cut" + number;
    const std::vector<std::string> words = {"checkpoint.every_steps=6"};
    ASSERT_EQ(Run(Words("whole" + number, words, ranks)), 0) << errors_;
    const std::string fault = Full("/step_12.tmp/", 1) + (ranks == 2 ? " 1" : "");
    ASSERT_EQ(RunWith(fault, Words(run, words, ranks)), 1) << errors_;
    EXPECT_TRUE(
        Said(ranks == 1 ? "step 12 could not be saved: " : "step 12 could not be saved: rank 1: "))
        << errors_;
    EXPECT_TRUE(Said("/step_12.tmp/state_" + std::to_string(ranks - 1) + ".safetensors"))
        << errors_;
    EXPECT_TRUE(Said("No space left on device")) << errors_;
    const int saved = SavedStep();
    EXPECT_GT(saved, 12);
    EXPECT_LE(saved, 18);  // the next that is due waits for it
    EXPECT_EQ(Checkpoints(run),
              (std::vector<std::string>{"step_" + std::to_string(saved), "step_6"}));
    std::vector<std::string> resume = words;
    resume.emplace_back("resume=true");
    ASSERT_EQ(Run(Words(run, resume, ranks)), 0) << errors_;
    ExpectSameCheckpoints("whole" + number, run);
    EXPECT_EQ(Metrics("whole" + number).size(), Metrics(run).size());
  }
}

TEST_F(BackgroundSaves, AreCompleteWhenASignalHasStoppedTheRun) {
  Plan("write /step_6.tmp/state 0 0");
  Program program(folder_.path(), Words("run", {"checkpoint.every_steps=6", "train.epochs=10000"}));
  Unplan();
  WaitFor([&] { return !program.running() || Metrics("run").size() >= 7; });
  program.Signal(SIGTERM);
  EXPECT_EQ(program.Wait(), 128 + SIGTERM) << program.errors();
  const std::string last = "step_" + std::to_string(Metrics("run").back()["step"].get<int>());
  EXPECT_NE(last, "step_6");
  std::vector<std::string> expected = {"step_6", last};
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(Checkpoints("run"), expected);
}

}  // namespace
}  // namespace fastclip
