#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace fastclip {

/// A GPU as the NVIDIA driver shows it.
struct Gpu {
  std::string name;        ///< "NVIDIA H200"
  std::string pci;         ///< "0000:1b:00.0", a folder of /sys/bus/pci/devices
  std::int64_t bytes = 0;  ///< of its memory
};

/// The GPU of a rank.
struct OwnGpu {
  int index = 0;      ///< LibTorch's, among the visible ones
  std::string pci{};  ///< as Gpu::pci
};

/// What the NVIDIA driver of this host answers.
struct GpuDriver {
  int cuda_version = 0;     ///< the newest CUDA that it runs, 13020 for 13.2; 0: no driver
  std::vector<Gpu> gpus{};  ///< those that this process may see, in CUDA's order
  std::string lack{};       ///< why no GPU can be used, as in "no NVIDIA driver"; "" if one can
  bool broken = false;      ///< `lack` is a fault of the host, which somebody has to mend
};

/// Asks the driver, once per process. Calls libcuda.so.1 only: LibTorch looks for CUDA once, so it
/// must not be touched before it is known whether CUDA is to be loaded.
const GpuDriver& AskGpuDriver();

/// The same of another library, without remembering the answer. `needed_cuda`: major version of the
/// CUDA that the program uses; 0: any.
GpuDriver AskGpuDriver(const char* library, int needed_cuda);

/// What train.device = "auto" means on this host, and why.
struct DeviceChoice {
  std::string device;  ///< "cuda" or "cpu"
  std::string why{};   ///< "no NVIDIA driver", "2 GPUs (NVIDIA H200, 150.8 GB)"
  bool warn = false;   ///< there seems to be a GPU that cannot be used
};

/// `built`: whether the program's GPU library is there.
DeviceChoice ChooseDevice(bool built, const GpuDriver& driver);

}  // namespace fastclip
