// Part of libfastclip_nccl.so: compiled against CUDA's headers.

#include "comm/cuda_graph.h"

#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>

#include <exception>

namespace fastclip {
namespace {

class CudaGraph final : public DeviceGraph {
 public:
  void Record(const std::function<void()>& work) override {
    // A graph has memory of its own, and while one is recorded the allocator cannot give back what
    // earlier steps left cached.
    c10::cuda::device_synchronize();
    c10::cuda::CUDACachingAllocator::emptyCache();
    // Other threads go on: decoders ask for pinned memory, which a global capture would forbid.
    graph_.capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);
    try {
      work();
    } catch (...) {
      EndFailed();
      throw;
    }
    graph_.capture_end();
  }
  void Replay() override { graph_.replay(); }

 private:
  // The stream must leave capture; that this fails too is no news.
  void EndFailed() {
    try {
      graph_.capture_end();
    } catch (const std::exception&) {
    }
  }

  at::cuda::CUDAGraph graph_;
};

}  // namespace

DeviceGraph* MakeCudaGraph() { return new CudaGraph(); }

}  // namespace fastclip
