#pragma once

#include <c10/util/intrusive_ptr.h>

#include <cstdint>
#include <string>

namespace c10d {
class Backend;
class Store;
}  // namespace c10d

namespace fastclip {

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
};

constexpr const char* kCudaLibraryName = "libfastclip_nccl.so";
constexpr const char* kCudaLibrarySymbol = "fastclip_cuda_library";

/// Loads the library, from the program's folder or from ../lib, and keeps it loaded. Call it before
/// any other use of LibTorch, which checks for CUDA only once. Throws std::runtime_error with what
/// to do: no library, another build, another NCCL, no GPU.
void LoadCuda();

/// The loaded table; null before LoadCuda().
const CudaLibrary* LoadedCuda();

/// Makes this rank's GPU the current device and returns its number: the only visible one, or number
/// `local_rank`. Throws std::runtime_error if the host has too few.
int UseCudaDevice(int local_rank);

}  // namespace fastclip
