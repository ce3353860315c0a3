#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>

#include "tests/tokenizer/tiny_vocabulary.h"
#include "tests/trainer/training_fixture.h"
#include "trainer/run/stop_signal.h"

namespace fastclip {
namespace {

/// Sends the signals one after the other and then waits for an end that only they can bring. What
/// the user is told goes to stderr.
void SendAll(std::initializer_list<int> numbers, StopSignal::Times times, bool attend = true) {
  StopSignal stop(times);
  if (attend) {
    stop.Attend({.first = [](int number) { std::fprintf(stderr, "first %d ", number); },
                 .last = [] { std::fprintf(stderr, "last"); }});
  }
  for (const int number : numbers) {
    kill(getpid(), number);
    while (!stop.token().stop_requested()) std::this_thread::yield();
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  if (stop.received() != *numbers.begin()) _exit(1);
  for (;;) pause();
}

using std::chrono::milliseconds;
constexpr milliseconds kMinute(60'000), kNone(0);

TEST(StopSignal, ComesAgainToEndTheProcessWithoutSaving) {
  const StopSignal::Times at_once{.again = kNone, .one_wish = kNone};
  EXPECT_EXIT(SendAll({SIGTERM, SIGTERM}, at_once), testing::ExitedWithCode(128 + SIGTERM),
              "first 15 last");
  EXPECT_EXIT(SendAll({SIGINT, SIGINT}, at_once), testing::ExitedWithCode(128 + SIGINT),
              "first 2 last");
  EXPECT_EXIT(SendAll({SIGHUP, SIGTERM, SIGINT}, at_once), testing::ExitedWithCode(128 + SIGINT),
              "first 1 last");
}

TEST(StopSignal, TakesSignalsThatComeTogetherForOneWish) {
  EXPECT_EXIT(SendAll({SIGTERM, SIGTERM, SIGTERM, SIGINT}, {.again = kNone, .one_wish = kMinute}),
              testing::ExitedWithCode(128 + SIGINT), "first 15 last");
  StopSignal stop({.again = kMinute, .one_wish = kMinute});
  std::atomic<int> first = 0, last = 0;
  stop.Attend({.first = [&](int) { ++first; }, .last = [&] { ++last; }});
  for (const int number : {SIGINT, SIGINT, SIGTERM, SIGINT}) {
    kill(getpid(), number);
    while (!stop.token().stop_requested()) std::this_thread::yield();
  }
  sigset_t pending;
  do {
    sigpending(&pending);
  } while (sigismember(&pending, SIGINT) == 1 || sigismember(&pending, SIGTERM) == 1);
  stop.Attend();
  EXPECT_EQ(first, 1);
  EXPECT_EQ(last, 0);
  EXPECT_EQ(stop.received(), SIGINT);
}

TEST(StopSignal, EndsAtOnceWhereThereIsNothingToSaveYet) {
  EXPECT_EXIT(SendAll({SIGTERM}, {}, /*attend=*/false), testing::ExitedWithCode(128 + SIGTERM), "");
}

TEST(StopSignal, LeavesAHangUpAloneThatTheProcessWasStartedToIgnore) {
  const auto before = std::signal(SIGHUP, SIG_IGN);
  {
    StopSignal stop;
    stop.Attend();
    kill(getpid(), SIGHUP);
    kill(getpid(), SIGUSR1);
    while (!stop.token().stop_requested()) std::this_thread::yield();
    EXPECT_EQ(stop.received(), SIGUSR1);
  }
  std::signal(SIGHUP, before);
}

class StopAndResume : public Training {
 protected:
  /// Lets a run go until its metrics have so many lines, then sends the signal; the exit code.
  int StopAt(std::size_t lines, int signal, const std::vector<std::string>& words) {
    Program program(folder_.path(), Train("cut", words));
    while (program.running() && Metrics("cut").size() < lines) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    program.Signal(signal);
    const int code = program.Wait();
    errors_ = program.errors();
    return code;
  }
  void ExpectRefused(const std::vector<std::string>& words, const std::string& reason) {
    EXPECT_EQ(Run(Train("run", words)), 2);
    EXPECT_NE(errors_.find(reason), std::string::npos) << errors_;
    EXPECT_EQ(errors_.find("fastclip train: "), errors_.rfind("fastclip train: ")) << errors_;
  }
};

TEST_F(StopAndResume, TellsByItsExitCodeWhichSignalStoppedIt) {
  EXPECT_EQ(StopAt(2, SIGINT, {}), 130) << errors_;
  EXPECT_EQ(StopAt(Metrics("cut").size() + 2, SIGTERM, {"resume=true"}), 143) << errors_;
  EXPECT_NE(errors_.find("continue with " FASTCLIP_BINARY " train "), std::string::npos) << errors_;
  EXPECT_EQ(StopAt(Metrics("cut").size() + 2, SIGHUP, {"resume=true"}), 129) << errors_;
  EXPECT_NE(errors_.find("Hangup: saving at step "), std::string::npos) << errors_;
}

TEST_F(StopAndResume, SavesAtTwoQuickPressesOfCtrlC) {
  Program program(folder_.path(), Train("run", {"train.epochs=10000"}));
  while (program.running() && Metrics("run").size() < 3) {
    std::this_thread::sleep_for(milliseconds(2));
  }
  for (int press = 0; press < 2; ++press) {
    program.Signal(SIGINT);
    std::this_thread::sleep_for(milliseconds(5));
  }
  EXPECT_EQ(program.Wait(), 130);
  const std::string errors = program.errors();
  const std::size_t at = errors.find("Ctrl-C: saving at step ");
  ASSERT_NE(at, std::string::npos) << errors;
  EXPECT_NE(errors.find("press Ctrl-C again to stop without saving"), std::string::npos) << errors;
  EXPECT_LT(at, errors.find("stopped at step ")) << errors;
  EXPECT_EQ(
      Checkpoints("run"),
      std::vector<std::string>{"step_" + std::to_string(Metrics("run").back()["step"].get<int>())});
}

TEST_F(StopAndResume, EndsAnEvaluationAndMakesUpForIt) {
  const std::vector<std::string> words = {"train.epochs=2", "data.val=synthetic:3000",
                                          "eval.batch_size=50"};
  ASSERT_EQ(Run(Train("whole", words)), 0) << errors_;
  ASSERT_EQ(Metrics("whole").size(), 26u);
  EXPECT_EQ(StopAt(12, SIGTERM, words), 143) << errors_;  // the epoch's last step: now it evaluates
  EXPECT_EQ(Metrics("cut").size(), 12u);
  EXPECT_EQ(Checkpoints("cut"), (std::vector<std::string>{"step_12"}));
  std::vector<std::string> resume = words;
  resume.push_back("resume=true");
  // The last evaluation, too: the run has no step left, but is not done.
  EXPECT_EQ(StopAt(25, SIGTERM, resume), 143) << errors_;
  EXPECT_EQ(Metrics("cut").size(), 25u);
  ASSERT_EQ(Run(Train("cut", resume)), 0) << errors_;
  ExpectSameEnd("whole", "cut", 24);
  ASSERT_EQ(Run(Train("cut", resume)), 0) << errors_;  // nothing is owed any more
  ExpectSameEnd("whole", "cut", 24);
}

TEST_F(StopAndResume, GoesOnInAMixThatCarriesItsTail) {
  // An epoch of 276 rows: 17 batches of 16 and a fourth of one.
  const std::vector<std::string> words = {"data.train=synthetic:153::synthetic:61",
                                          "data.repeats=[1, 2]", "data.tail=carry",
                                          "train.epochs=4"};
  ASSERT_EQ(Run(Train("whole", words)), 0) << errors_;
  ASSERT_EQ(Metrics("whole").size(), 69u);
  std::vector<std::string> resume = words;
  resume.push_back("resume=true");
  for (const std::size_t lines : {16u, 18u, 35u, 60u}) {
    EXPECT_EQ(StopAt(lines, SIGTERM, lines == 16 ? words : resume), 143) << errors_;
  }
  ASSERT_EQ(Run(Train("cut", resume)), 0) << errors_;
  EXPECT_EQ(Metrics("whole"), Metrics("cut"));

  ASSERT_EQ(Run(Train("run", words)), 0) << errors_;
  std::vector<std::string> other = resume;
  other[1] = "data.repeats=[1, 3]";
  ExpectRefused(other, "the source mix (rows per epoch) was [153, 123]");
  other[1] = "data.repeats=[1, 2]";
  other[2] = "data.tail=drop";
  ExpectRefused(other, "data.tail was carry in this run and is drop now");
}

TEST_F(StopAndResume, GoesOnInAnOrderWithReplacement) {
  const std::vector<std::string> words = {"data.resampled=true", "data.epoch_samples=96",
                                          "train.epochs=4"};
  ASSERT_EQ(Run(Train("whole", words)), 0) << errors_;
  ASSERT_EQ(Metrics("whole").size(), 24u);
  std::vector<std::string> resume = words;
  resume.push_back("resume=true");
  for (const std::size_t lines : {5u, 6u, 15u}) {
    EXPECT_EQ(StopAt(lines, SIGTERM, lines == 5 ? words : resume), 143) << errors_;
  }
  ASSERT_EQ(Run(Train("cut", resume)), 0) << errors_;
  EXPECT_EQ(Metrics("whole"), Metrics("cut"));

  ASSERT_EQ(Run(Train("run", words)), 0) << errors_;
  ExpectRefused({"train.epochs=4", "resume=true"},
                "data.resampled was true in this run and is false now");
}

TEST_F(StopAndResume, RefusesAnotherModelOrTokenizer) {
  WriteText(folder_ / "words.txt", kTinyVocabulary);
  WriteText(folder_ / "same.txt", kTinyVocabulary);
  const std::string tokenizer = "data.tokenizer=clip:" + (folder_ / "words.txt");
  ASSERT_EQ(Run(Train("run", {"train.epochs=1", tokenizer})), 0) << errors_;
  ExpectRefused({"resume=true"}, "data.tokenizer was clip:");
  std::string model = ReadText(folder_ / "model.toml");
  std::ofstream(folder_ / "model.toml") << "quick_gelu = true\n" << model;
  ExpectRefused({"resume=true", tokenizer}, "quick_gelu was false in this run and is true now");
  std::ofstream(folder_ / "model.toml") << model;
  EXPECT_EQ(Run(Train("run", {"resume=true", "train.epochs=1",
                              "data.tokenizer=clip:" + (folder_ / "same.txt")})),
            0)
      << errors_;
}

TEST_F(StopAndResume, LeavesAFolderAloneInWhichAnotherProcessTrains) {
  Program program(folder_.path(), Train("run", {"train.epochs=10000"}));
  // The second checkpoint: one epoch is then too few.
  while (program.running() && !std::filesystem::exists(folder_ / "run/checkpoints/step_24")) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  const TemporaryFolder other;
  Program second(other.path(), Train("run", {"resume=true"}));
  EXPECT_EQ(second.Wait(), 1);
  EXPECT_NE(second.errors().find("another process trains in this folder"), std::string::npos)
      << second.errors();
  program.Signal(SIGKILL);
  program.Wait();
  // The lock went with it.
  EXPECT_EQ(Run(Train("run", {"resume=true", "train.epochs=1"})), 2);
  EXPECT_NE(errors_.find("use more epochs"), std::string::npos) << errors_;
}

TEST_F(StopAndResume, KeepsTheMetricsOfARunWhoseCheckpointsAreGone) {
  ASSERT_EQ(Run(Train("run", {"train.epochs=1"})), 0) << errors_;
  const std::string metrics = ReadText(folder_ / "run/metrics.jsonl");
  std::filesystem::rename(folder_ / "run/checkpoints", folder_ / "moved");
  ExpectRefused({}, "restore them to");
  EXPECT_EQ(ReadText(folder_ / "run/metrics.jsonl"), metrics);
  std::filesystem::rename(folder_ / "moved", folder_ / "run/checkpoints");
  EXPECT_EQ(Run(Train("run", {"train.epochs=1", "resume=true"})), 0) << errors_;
}

TEST_F(StopAndResume, NamesTheDamagedCheckpointThatAnInitPassesOver) {
  ASSERT_EQ(Run(Train("first", {"train.epochs=2"})), 0) << errors_;
  std::filesystem::resize_file(folder_ / "first/checkpoints/step_24/model.safetensors", 1000);
  ASSERT_EQ(Run(Train("run", {"train.epochs=1", "train.init=" + (folder_ / "first")})), 0)
      << errors_;
  EXPECT_NE(errors_.find("skipped a damaged checkpoint"), std::string::npos) << errors_;
  EXPECT_NE(errors_.find("step_24"), std::string::npos) << errors_;
}

}  // namespace
}  // namespace fastclip
