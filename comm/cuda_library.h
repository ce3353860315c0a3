#pragma once

#include <c10/core/Device.h>
#include <c10/util/intrusive_ptr.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "comm/gpu_driver.h"

namespace c10d {
class Backend;
class Store;
}  // namespace c10d

namespace fastclip {

class DeviceGraph;

/// The functions of libfastclip_nccl.so, the only shared object that links libtorch_cuda and NCCL.
/// They are behind one exported name, so the program starts without either.
struct CudaLibrary {
  const char* build;  ///< FASTCLIP_CUDA_BUILD of its build
  int nccl_header_version = 0;
  /// Result of ncclGetVersion(); 0 if it failed.
  int (*nccl_version)() = nullptr;
  /// A new ProcessGroupNCCL on the current device; the caller owns the reference. Throws what c10d
  /// throws.
  c10d::Backend* (*make_backend)(const c10::intrusive_ptr<c10d::Store>& store, int rank,
                                 int world_size, std::int64_t timeout_ms, int device) = nullptr;
  /// A new CUDA graph; the caller owns it.
  DeviceGraph* (*make_graph)() = nullptr;
};

constexpr const char* kCudaLibraryName = "libfastclip_nccl.so";
constexpr const char* kCudaLibrarySymbol = "fastclip_cuda_library";

/// What train.device = "auto" means: "cuda" if the library is there, a driver answers and a GPU is
/// visible. Loads nothing but the driver.
DeviceChoice ChooseDevice();

/// What asks for a GPU, in errors.
constexpr const char* kCudaKey = "train.device = \"cuda\"";

/// Those checks of LoadCuda() that load nothing but the driver: the library is there, and the
/// driver has a GPU. Throws as it does.
void CheckForCuda(const std::string& asked = kCudaKey);

/// Loads the library, from the program's folder or from ../lib, and keeps it loaded. Call it before
/// any other use of LibTorch, which checks for CUDA only once. Throws std::runtime_error with what
/// to do: no library, another build, another LibTorch or NCCL, no GPU. `asked`: what asked for one.
void LoadCuda(const std::string& asked = kCudaKey);

/// The loaded table; null before LoadCuda().
const CudaLibrary* LoadedCuda();

/// The number of a rank's GPU: the only visible one, as schedulers often show each rank its own
/// alone, or number `local_rank`. Throws std::runtime_error if there are too few.
int GpuOfRank(int local_rank, std::size_t visible);

/// Throws std::runtime_error if the driver shows too few GPUs for `ranks` that all see the same.
void RequireGpus(const GpuDriver& driver, int ranks);

/// Asks the driver for the memory of this rank's GPU. Call it before LibTorch uses the GPU: a full
/// one would fail there with less to say. Returns a warning if other processes take much of it, or
/// "". Throws std::runtime_error if they fill it.
std::string CheckOwnGpu(int local_rank);

/// Makes this rank's GPU the current device. Throws std::runtime_error.
OwnGpu UseCudaDevice(int local_rank);

/// The device of a program of one rank. `device`: "cpu" or "cuda"; `asked` as for LoadCuda, which
/// it calls. `warn` gets the warning of CheckOwnGpu(), if any.
c10::Device OpenDevice(const std::string& device, const std::string& asked,
                       const std::function<void(const std::string&)>& warn);

/// What an error of dlopen() means for libfastclip_nccl.so, and what to do.
std::string ExplainLoadError(const std::string& error);

}  // namespace fastclip
