#include "comm/near_cores.h"

#include <gtest/gtest.h>

#include <fstream>
#include <numeric>
#include <thread>

#include "tests/support/paths.h"

namespace fastclip {
namespace {

namespace fs = std::filesystem;

TEST(CpuList, IsReadAsTheKernelWritesIt) {
  EXPECT_EQ(ParseCpuList("0-3,8\n"), (std::vector<int>{0, 1, 2, 3, 8}));
  EXPECT_EQ(ParseCpuList("7"), std::vector<int>{7});
  for (const char* none : {"", "\n", "3-1", "a", "1,", "1,,2", "-2", "0-999999999", "5 6"}) {
    EXPECT_TRUE(ParseCpuList(none).empty()) << none;
  }
}

/// A host as /sys shows it.
class FakeHost : public testing::Test {
 protected:
  void AddNodes(int nodes) {
    for (int node = 0; node < nodes; ++node) {
      fs::create_directories(folder_.path() / "devices/system/node" /
                             ("node" + std::to_string(node)));
    }
  }
  void AddGpu(const std::string& pci, const std::string& cores) {
    const fs::path place = folder_.path() / "bus/pci/devices" / pci;
    fs::create_directories(place);
    std::ofstream(place / "local_cpulist") << cores << "\n";
  }
  HostCores Near(const std::vector<std::string>& gpus, std::size_t own, int cores = 64) {
    std::vector<int> allowed(static_cast<std::size_t>(cores));
    std::iota(allowed.begin(), allowed.end(), 0);
    return CoresNear(folder_.path(), allowed, gpus, own);
  }

  TemporaryFolder folder_;
};

TEST_F(FakeHost, ARankRunsOnTheNodeOfItsGpu) {
  AddNodes(2);
  AddGpu("0000:1b:00.0", "0-15,32-47");
  AddGpu("0000:c2:00.0", "16-31,48-63");
  const HostCores second = Near({"0000:1b:00.0", "0000:c2:00.0"}, 1);
  EXPECT_EQ(second.cores, 32);
  EXPECT_EQ(second.ranks, 1);
  EXPECT_EQ(second.pinned.front(), 16);
  EXPECT_EQ(second.pinned.back(), 63);
  EXPECT_EQ(second.line, "pinned to cores 16-31,48-63, the NUMA node of GPU 0000:c2:00.0");
  EXPECT_EQ(Near({"0000:1b:00.0", "0000:1b:00.0", "0000:c2:00.0"}, 0).ranks, 2);
  EXPECT_EQ(Near({"0000:1b:00.0"}, 0).cores, 32) << "one rank of such a host too";
}

TEST_F(FakeHost, ARankIsNotPinnedWhereItCannotOrNeedNot) {
  AddGpu("0000:1b:00.0", "0-63");
  AddGpu("0000:1c:00.0", "0-15");
  AddGpu("0000:c2:00.0", "");
  AddGpu("0000:c3:00.0", "100-127");
  EXPECT_TRUE(Near({"0000:1c:00.0"}, 0).pinned.empty()) << "one node";
  EXPECT_EQ(Near({"0000:1c:00.0"}, 0).line, "");
  AddNodes(2);
  EXPECT_TRUE(Near({"0000:1b:00.0"}, 0).pinned.empty()) << "all cores are near";
  EXPECT_EQ(Near({"0000:1b:00.0"}, 0).line, "");
  for (const char* gpu : {"0000:c2:00.0", "0000:ff:00.0"}) {
    EXPECT_NE(Near({gpu}, 0).line.find("is unknown"), std::string::npos) << gpu;
  }
  const HostCores none = Near({"0000:c3:00.0"}, 0);
  EXPECT_EQ(none.cores, 64);
  EXPECT_TRUE(none.pinned.empty());
  EXPECT_NE(none.line.find("may use none"), std::string::npos);
}

TEST_F(FakeHost, RanksThatWouldCrowdANodeUseTheWholeHost) {
  AddNodes(2);
  AddGpu("0000:1b:00.0", "0-31");
  const HostCores crowded = Near(std::vector<std::string>(8, "0000:1b:00.0"), 3);
  EXPECT_TRUE(crowded.pinned.empty());
  EXPECT_EQ(crowded.cores, 64);
  EXPECT_EQ(crowded.ranks, 8);
  EXPECT_FALSE(Near(std::vector<std::string>(4, "0000:1b:00.0"), 3).pinned.empty())
      << "eight cores each are enough";
}

TEST(Cores, ThreadsStartedLaterRunOnTheSameCores) {
  const std::vector<int> before = AllowedCores();
  ASSERT_FALSE(before.empty());
  ASSERT_TRUE(RunOn({before.back()}));
  std::vector<int> later;
  std::thread([&] { later = AllowedCores(); }).join();
  EXPECT_EQ(later, std::vector<int>{before.back()});
  EXPECT_TRUE(RunOn(before));
  EXPECT_FALSE(RunOn({}));
}

}  // namespace
}  // namespace fastclip
