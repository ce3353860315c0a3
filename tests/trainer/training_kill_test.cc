#include <random>

#include "tests/trainer/training_fixture.h"

namespace fastclip {
namespace {

TEST_F(Training, TwentyKillsAtRandomPointsChangeNothing) {
  const std::vector<std::string> words = {"train.epochs=8", "checkpoint.every_steps=5",
                                          "checkpoint.every_epochs=0"};
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
}

}  // namespace
}  // namespace fastclip
