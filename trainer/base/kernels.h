#pragma once

#include <string>
#include <vector>

namespace fastclip {

/// Which kernels LibTorch uses. The defaults are OpenCLIP's.
struct KernelOptions {
  /// GPU: float32 products may use TF32, which has 10 bits of mantissa.
  bool tf32 = true;
  /// GPU: cuDNN tries its convolutions once per shape and takes the fastest.
  bool cudnn_benchmark = true;
  /// One of AttentionNames().
  std::string attention = "auto";
};

/// auto, flash, mem_efficient, cudnn, math; on the CPU auto, flash and math.
std::vector<std::string> AttentionNames();

/// Sets them for the process.
void UseKernels(const KernelOptions& options);

}  // namespace fastclip
