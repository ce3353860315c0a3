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
  const std::string& lack = AskGpuDriver().lack;
  EXPECT_EQ(error.empty(), lack.empty()) << error;
  EXPECT_NE(error.find(lack), std::string::npos) << error;
  EXPECT_EQ(LoadedCuda()->nccl_version(), LoadedCuda()->nccl_header_version);
  EXPECT_NE(std::string(typeid(at::detail::getCUDAHooks()).name()).find("4cuda6detail9CUDAHooks"),
            std::string::npos)
      << "LibTorch has decided that there is no CUDA";
}

TEST(CudaLibrary, SaysWhatIsMissingWhereItCannotBeLoaded) {
  const std::string no_nccl =
      ExplainLoadError("libnccl.so.2: cannot open shared object file: No such file or directory");
  EXPECT_NE(no_nccl.find("found no NCCL"), std::string::npos) << no_nccl;
  EXPECT_NE(no_nccl.find("tools/setup.sh --cuda"), std::string::npos) << no_nccl;
  EXPECT_NE(ExplainLoadError("/x/libfastclip_nccl.so: undefined symbol: _ZN4c10d16ProcessGroup")
                .find("torch of another version"),
            std::string::npos);
  EXPECT_NE(ExplainLoadError("libtorch_cuda.so: cannot open shared object file")
                .find("found no LibTorch with CUDA"),
            std::string::npos);
  EXPECT_NE(ExplainLoadError("out of paper").find("cannot be loaded (out of paper)"),
            std::string::npos);
}

TEST(CudaLibrary, GivesEachRankOfAHostItsGpu) {
  EXPECT_EQ(GpuOfRank(0, 4), 0);
  EXPECT_EQ(GpuOfRank(3, 4), 3);
  EXPECT_EQ(GpuOfRank(5, 1), 0) << "a scheduler shows each rank its own alone";
  EXPECT_THROW(GpuOfRank(4, 4), std::runtime_error);
  const GpuDriver two{.gpus = {{}, {}}};
  EXPECT_NO_THROW(RequireGpus(two, 2));
  EXPECT_THROW(RequireGpus(two, 3), std::runtime_error);
  EXPECT_THROW(RequireGpus({.gpus = {{}}}, 2), std::runtime_error);
}

}  // namespace
}  // namespace fastclip
