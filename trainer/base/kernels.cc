#include "trainer/base/kernels.h"

#include <ATen/Context.h>

namespace fastclip {

std::vector<std::string> AttentionNames() {
  return {"auto", "flash", "mem_efficient", "cudnn", "math"};
}

void UseKernels(const KernelOptions& options) {
  at::Context& context = at::globalContext();
  context.setAllowTF32CuBLAS(options.tf32);
  context.setAllowTF32CuDNN(options.tf32);
  context.setBenchmarkCuDNN(options.cudnn_benchmark);
  const auto allowed = [&](const char* name) {
    return options.attention == "auto" || options.attention == name;
  };
  context.setSDPUseFlash(allowed("flash"));
  context.setSDPUseMemEfficient(allowed("mem_efficient"));
  context.setSDPUseCuDNN(allowed("cudnn"));
  context.setSDPUseMath(allowed("math"));
}

}  // namespace fastclip
