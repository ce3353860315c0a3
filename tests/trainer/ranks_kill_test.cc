#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <random>

#include "tests/support/peers.h"
#include "tests/trainer/ranks_fixture.h"

namespace fastclip {
namespace {

/// What a process was started with; empty where it is gone by now, which a stream would throw for.
std::string WordsOf(const std::string& path) {
  std::string words(4096, '\0');
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const ssize_t got = fd < 0 ? 0 : read(fd, words.data(), words.size());
  if (fd >= 0) close(fd);
  words.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  return words;
}

/// The ranks that torchrun has started for a run, by what they were started with.
std::vector<int> RanksOf(const std::string& run_folder) {
  std::vector<int> pids;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const int pid = std::atoi(entry.path().filename().c_str());
    if (pid == 0) continue;
    const std::string words = WordsOf(entry.path().string() + "/cmdline");
    if (words.find("run=" + run_folder) != std::string::npos &&
        words.starts_with(FASTCLIP_BINARY)) {
      pids.push_back(pid);
    }
  }
  return pids;
}

TEST_F(Ranks, SurviveTwentyKillsUnderTorchrun) {
  const std::string python = PeersPython();
  if (python.empty()) GTEST_SKIP() << "no torchrun: tools/peers.sh makes its environment";
  const std::vector<std::string> words = {"train.epochs=40", "checkpoint.every_steps=5",
                                          "checkpoint.keep=3"};
  ASSERT_EQ(Run(Words("whole", 1, words)), 0) << errors_;

  std::vector<std::string> resume = words;
  resume.insert(resume.end(), {"resume=true", "comm.timeout=20"});
  std::string command =
      python +
      " -m torch.distributed.run --no-python --standalone --nproc-per-node 2 --max-restarts 30"
      " --monitor-interval 0.2 " +
      FASTCLIP_BINARY;
  for (const std::string& word : Words("cut", 1, resume)) command += " '" + word + "'";
  const std::string log = folder_ / "torchrun.log";
  setenv("GLOO_SOCKET_IFNAME", "lo", 1);
  int code = -1;
  std::jthread launcher([&] { code = std::system((command + " >" + log + " 2>&1").c_str()); });

  std::mt19937 random(11);
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::minutes(20);
  int kills = 0;
  while (kills < 20 && std::chrono::steady_clock::now() < give_up) {
    const std::size_t steps = 9 * (kills + 1) + random() % 5;
    std::vector<int> pids;
    while (std::chrono::steady_clock::now() < give_up) {
      pids = RanksOf(folder_ / "cut");
      if (pids.size() == 2 && Metrics("cut").size() >= steps) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    if (pids.size() != 2) break;
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 20'000));
    if (kill(pids[random() % 2], SIGKILL) == 0) ++kills;
    // Until the ranks of this start are gone.
    while (std::chrono::steady_clock::now() < give_up && RanksOf(folder_ / "cut") == pids) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  }
  launcher.join();
  EXPECT_EQ(kills, 20) << ReadText(log);
  ASSERT_EQ(code, 0) << ReadText(log);
  ExpectClose(Read("cut", 200, "model.safetensors"), Read("whole", 200, "model.safetensors"), 1e-8);
  ExpectSameState(State("cut", 200), State("whole", 200));
  EXPECT_EQ(Metrics("cut").size(), Metrics("whole").size());
}

}  // namespace
}  // namespace fastclip
