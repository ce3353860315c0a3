#include "comm/cuda_library.h"

#include <ATen/detail/CUDAHooksInterface.h>
#include <gtest/gtest.h>

#include <stdexcept>
#include <typeinfo>

namespace fastclip {
namespace {

TEST(CudaLibrary, IsLoadedAndGivesLibTorchItsCuda) {
  EXPECT_EQ(LoadedCuda(), nullptr);
  std::string error;
  try {
    LoadCuda();
  } catch (const std::runtime_error& thrown) {
    error = thrown.what();
  }
  // Without a GPU everything but the GPU is there.
  ASSERT_NE(LoadedCuda(), nullptr) << error;
  EXPECT_TRUE(error.empty() || error.find("no NVIDIA GPU") != std::string::npos) << error;
  EXPECT_EQ(LoadedCuda()->nccl_version(), LoadedCuda()->nccl_header_version);
  EXPECT_NE(std::string(typeid(at::detail::getCUDAHooks()).name()).find("4cuda6detail9CUDAHooks"),
            std::string::npos)
      << "LibTorch has decided that there is no CUDA";
}

}  // namespace
}  // namespace fastclip
