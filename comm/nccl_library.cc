// What libfastclip_nccl.so exports. It and cuda_graph.cc are the only code that is compiled against
// CUDA's and NCCL's headers.

#include <nccl.h>

#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

#include "comm/cuda_graph.h"
#include "comm/cuda_library.h"

namespace fastclip {
namespace {

int NcclVersion() {
  int version = 0;
  return ncclGetVersion(&version) == ncclSuccess ? version : 0;
}

c10d::Backend* MakeBackend(const c10::intrusive_ptr<c10d::Store>& store, int rank, int world_size,
                           std::int64_t timeout_ms, int device) {
  auto options = c10d::ProcessGroupNCCL::Options::create(/*is_high_priority_stream=*/true);
  options->timeout = std::chrono::milliseconds(timeout_ms);
  auto backend =
      c10::make_intrusive<c10d::ProcessGroupNCCL>(store, rank, world_size, std::move(options));
  const at::Device bound(at::kCUDA, static_cast<at::DeviceIndex>(device));
  backend->setBoundDeviceId(bound);
  backend->eagerConnectSingleDevice(bound);
  return backend.release();
}

constexpr CudaLibrary kLibrary = {.build = FASTCLIP_CUDA_BUILD,
                                  .nccl_header_version = NCCL_VERSION_CODE,
                                  .nccl_version = NcclVersion,
                                  .make_backend = MakeBackend,
                                  .make_graph = MakeCudaGraph};

}  // namespace
}  // namespace fastclip

extern "C" __attribute__((visibility("default"))) const fastclip::CudaLibrary*
fastclip_cuda_library() {
  return &fastclip::kLibrary;
}
