#include "comm/rank_gpus.h"

#include <gtest/gtest.h>

#include "comm/exchange.h"
#include "tests/comm/gloo_world.h"

namespace fastclip {
namespace {

TEST(RankGpus, EachRankHasItsOwn) {
  EXPECT_FALSE(FaultOf({{"m0", "a", "0000:1b:00.0"}, {"m0", "a", "0000:1c:00.0"}}));
  EXPECT_FALSE(FaultOf({{"m0", "a", "0000:1b:00.0"}, {"m1", "a", "0000:1b:00.0"}}))
      << "two machines of one name";
  EXPECT_FALSE(FaultOf({{"m0", "a", ""}, {"m0", "a", ""}})) << "on the CPU";
}

TEST(RankGpus, ASharedOneIsNamedWithItsRanksAndHost) {
  const auto fault = FaultOf({{"m0", "a", "0000:1b:00.0"},
                              {"m0", "a", "0000:1c:00.0"},
                              {"m0", "a", "0000:1c:00.0"},
                              {"m1", "b", "0000:1c:00.0"}});
  ASSERT_TRUE(fault);
  EXPECT_EQ(fault->rank, 2);
  EXPECT_EQ(fault->text,
            "ranks 1 and 2 on host a use the same GPU, 0000:1c:00.0; start at most one rank per "
            "GPU, or show each rank another GPU with CUDA_VISIBLE_DEVICES");
}

TEST(RankGpus, ARankWithoutOneIsNamed) {
  const auto fault = FaultOf({{"m0", "a", "0000:1b:00.0"}, {"m1", "b", ""}});
  ASSERT_TRUE(fault);
  EXPECT_EQ(fault->rank, 1);
  EXPECT_NE(fault->text.find("rank 1 on host b uses the CPU, but rank 0 on host a uses a GPU"),
            std::string::npos)
      << fault->text;
}

TEST(RankGpus, AreComparedBeforeTheRanksAreConnected) {
  const auto connect = [](const std::vector<std::string>& gpus) {
    const auto store = MakeLocalStore();
    setenv("GLOO_SOCKET_IFNAME", "lo", 1);
    std::vector<std::string> errors(gpus.size());
    RunRankThreads(static_cast<int>(gpus.size()), [&](int rank) {
      try {
        ConnectRanks(*store, {.prefix = "test",
                              .rank = rank,
                              .world_size = static_cast<int>(gpus.size()),
                              .timeout = std::chrono::seconds(20),
                              .gpu_pci = gpus[static_cast<std::size_t>(rank)]});
      } catch (const SharedError& error) {
        errors[static_cast<std::size_t>(rank)] = error.what();
      }
    });
    return errors;
  };
  EXPECT_EQ(connect({"0000:1b:00.0", "0000:1c:00.0"}), std::vector<std::string>(2));
  for (const std::string& error : connect({"0000:1b:00.0", "0000:1c:00.0", "0000:1b:00.0"})) {
    EXPECT_NE(error.find("ranks 0 and 2 on host"), std::string::npos) << error;
  }
}

}  // namespace
}  // namespace fastclip
