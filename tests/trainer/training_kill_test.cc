#include <random>

#include "tests/pipeline/shard_files.h"
#include "tests/support/fake_source.h"
#include "tests/trainer/training_fixture.h"

namespace fastclip {
namespace {

/// Training on two shards in which one picture of nine is damaged.
class TrainingOnDamagedShards : public Training {
 protected:
  void SetUp() override {
    Training::SetUp();
    for (int shard = 0; shard < 2; ++shard) {
      Members members;
      for (int i = 100 * shard; i < 100 * (shard + 1); ++i) {
        std::string image = AsString(PngOf(i));
        if (i % 9 == 4) image.resize(image.size() / 2);
        members.emplace_back(std::to_string(i) + ".png", image);
        members.emplace_back(std::to_string(i) + ".txt", "picture " + std::to_string(i));
      }
      WriteShard(folder_ / (std::to_string(shard) + ".tar"), members);
    }
  }
  /// A line for each batch of an epoch of these shards, by one rank and one thread; asks that other
  /// numbers of them, and those that begin later, say the same.
  std::string Replayed() {
    const auto replay = [&](const std::string& world, const std::string& threads,
                            const std::string& from) {
      EXPECT_EQ(Run({"shards",  "replay",  shards_,  "--seed",    "2024",      "--epoch", "3",
                     "--batch", "16",      "--size", "32",        "--context", "16",      "--lanes",
                     "8",       "--world", world,    "--threads", threads,     "--from",  from}),
                0)
          << errors_;
      return output_;
    };
    const std::string lines = replay("1", "1", "0");
    EXPECT_EQ(std::ranges::count(lines, '\n'), 12);
    for (const char* world : {"1", "2", "4", "8"}) {
      for (const char* threads : {"1", "2", "8"}) {
        EXPECT_EQ(replay(world, threads, "0"), lines) << world << " ranks, " << threads;
      }
    }
    for (int from = 1; from < 12; ++from) {
      EXPECT_TRUE(lines.ends_with(replay("2", "2", std::to_string(from)))) << from;
    }
    return lines;
  }

  const std::string shards_ = folder_ / "{0..1}.tar";
};

TEST_F(TrainingOnDamagedShards, TwentyKillsAtRandomPointsChangeNothing) {
  const std::vector<std::string> words = {"data.train=" + shards_,
                                          "data.lanes=8",
                                          "train.epochs=8",
                                          "checkpoint.every_steps=5",
                                          "checkpoint.every_epochs=0",
                                          "data.max_skips_per_mille=500"};
  const std::string replayed = Replayed();
  ASSERT_EQ(Run(Train("whole", words)), 0) << errors_;

  std::vector<std::string> resume = words;
  resume.push_back("resume=true");
  std::mt19937 random(7);
  for (std::size_t kill = 1; kill <= 20; ++kill) {
    Program program(folder_.path(), Train("cut", resume));
    const std::size_t steps = 4 * kill + random() % 4;
    while (program.running() && Metrics("cut").size() < steps) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 5000));  // within a save, too
    ASSERT_TRUE(program.running()) << "it ended before kill " << kill << ": " << program.errors();
    program.Signal(SIGKILL);
    EXPECT_EQ(program.Wait(), 128 + SIGKILL);
  }
  ASSERT_EQ(Run(Train("cut", resume)), 0) << errors_;
  ExpectSameEnd("whole", "cut", 96);
  EXPECT_EQ(Replayed(), replayed);
}

}  // namespace
}  // namespace fastclip
