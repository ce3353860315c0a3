#include "comm/gpu_driver.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <stdexcept>
#include <string>

#include "comm/gpu_memory.h"

namespace fastclip {
namespace {

class FakeDriver : public testing::Test {
 protected:
  void TearDown() override {
    unsetenv("FAKE_CUDA");
    unsetenv("CUDA_VISIBLE_DEVICES");
  }
  static GpuDriver Ask(const char* answers, int needed_cuda = 13) {
    setenv("FAKE_CUDA", answers, 1);
    return AskGpuDriver(FASTCLIP_FAKE_CUDA, needed_cuda);
  }
};

TEST_F(FakeDriver, TellsItsGpus) {
  const GpuDriver driver = Ask("gpus=2 memory=80");
  EXPECT_EQ(driver.lack, "");
  EXPECT_EQ(driver.cuda_version, 13020);
  ASSERT_EQ(driver.gpus.size(), 2U);
  EXPECT_EQ(driver.gpus[1].name, "Fake H200");
  EXPECT_EQ(driver.gpus[1].pci, "0000:1c:00.0");
  EXPECT_EQ(driver.gpus[1].bytes, std::int64_t{80} << 30);
}

TEST_F(FakeDriver, SaysWhyThereIsNoGpu) {
  EXPECT_EQ(AskGpuDriver("libno_such_driver.so.1", 13).lack, "no NVIDIA driver");
  EXPECT_EQ(Ask("init=100").lack, "the NVIDIA driver finds no GPU");
  EXPECT_EQ(Ask("gpus=0").lack, "the NVIDIA driver finds no GPU");
  setenv("CUDA_VISIBLE_DEVICES", "7", 1);
  EXPECT_EQ(Ask("gpus=0").lack, "no GPU is visible (CUDA_VISIBLE_DEVICES = \"7\")");
  setenv("CUDA_VISIBLE_DEVICES", "", 1);
  EXPECT_EQ(Ask("gpus=2").lack, "no GPU is visible (CUDA_VISIBLE_DEVICES = \"\")");
  EXPECT_TRUE(Ask("gpus=2").gpus.empty());
}

TEST_F(FakeDriver, SaysWhatIsWrongWithTheDriver) {
  const GpuDriver old = Ask("version=12080");
  EXPECT_EQ(old.lack,
            "the NVIDIA driver is too old: it runs CUDA 12.8, this program needs 13.0; update the "
            "driver");
  EXPECT_TRUE(old.broken);
  EXPECT_TRUE(old.gpus.empty());
  EXPECT_EQ(Ask("version=12080", 12).lack, "");
  EXPECT_EQ(Ask("version=13000", 13).lack, "") << "an older driver of the same major version";
  EXPECT_EQ(Ask("init=999").lack,
            "the NVIDIA driver does not start: error 999 (unknown error); see nvidia-smi");
  EXPECT_NE(Ask("init=34").lack.find("stub"), std::string::npos);
  const GpuDriver no_library = AskGpuDriver("/dev/null", 13);
  EXPECT_NE(no_library.lack.find("cannot be loaded"), std::string::npos) << no_library.lack;
  EXPECT_TRUE(no_library.broken);
}

TEST_F(FakeDriver, DecidesWhatAutoMeans) {
  const DeviceChoice gpu = ChooseDevice(true, Ask("gpus=2"));
  EXPECT_EQ(gpu.device, "cuda");
  EXPECT_EQ(gpu.why, "2 GPUs (Fake H200, 150.3 GB)");
  const DeviceChoice none = ChooseDevice(true, Ask("init=100"));
  EXPECT_EQ(none.device, "cpu");
  EXPECT_FALSE(none.warn);
  const DeviceChoice old = ChooseDevice(true, Ask("version=11080"));
  EXPECT_EQ(old.device, "cpu");
  EXPECT_TRUE(old.warn) << "the GPU that is there would idle";
  const DeviceChoice not_built = ChooseDevice(false, {});
  EXPECT_EQ(not_built.device, "cpu");
  EXPECT_NE(not_built.why.find("built without CUDA"), std::string::npos);
}

TEST_F(FakeDriver, SaysIfOtherProcessesFillTheGpu) {
  const Gpu gpu{.name = "Fake H200", .pci = "0000:1b:00.0"};
  const auto check = [&](const char* answers) -> std::string {
    setenv("FAKE_CUDA", answers, 1);
    try {
      return CheckGpuMemory(AskGpuMemory(FASTCLIP_FAKE_CUDA, 0, gpu), 0, gpu);
    } catch (const std::runtime_error& error) {
      return std::string("error: ") + error.what();
    }
  };
  EXPECT_EQ(check("memory=140 free=139"), "");
  EXPECT_EQ(check("memory=140 free=70"),
            "GPU 0 (0000:1b:00.0, Fake H200): only 75.2 of 150.3 GB is free, other processes take "
            "the rest");
  for (const char* filled : {"memory=140 free=0", "context=2"}) {
    const std::string error = check(filled);
    EXPECT_TRUE(error.starts_with("error: GPU 0 (0000:1b:00.0, Fake H200)")) << error;
    EXPECT_NE(error.find("other processes fill it"), std::string::npos) << error;
    EXPECT_NE(error.find("CUDA_VISIBLE_DEVICES"), std::string::npos) << error;
  }
  EXPECT_NE(check("context=46").find("exclusive mode"), std::string::npos);
  EXPECT_NE(check("context=719").find("error 719"), std::string::npos);
}

}  // namespace
}  // namespace fastclip
