#pragma once

#include <c10/util/intrusive_ptr.h>

#include <cstdint>
#include <string>

namespace c10d {
class Backend;
class Store;
}  // namespace c10d

namespace fastclip {

/// What libfastclip_nccl.so gives: the one shared object that links libtorch_cuda and NCCL. A table
/// of functions behind one exported name, so that the program starts without either.
struct CudaLibrary {
  const char* build;  ///< FASTCLIP_CUDA_BUILD of its build
  int nccl_header_version = 0;
  /// What ncclGetVersion() says; 0: it failed.
  int (*nccl_version)() = nullptr;
  /// A new ProcessGroupNCCL on the current device; its reference passes to the caller. Throws what
  /// c10d throws.
  c10d::Backend* (*make_backend)(const c10::intrusive_ptr<c10d::Store>& store, int rank,
                                 int world_size, std::int64_t timeout_ms, int device) = nullptr;
};

constexpr const char* kCudaLibraryName = "libfastclip_nccl.so";
constexpr const char* kCudaLibrarySymbol = "fastclip_cuda_library";

/// Loads the library for good, from beside the program or from ../lib. LibTorch decides at its
/// first question whether there is CUDA and never asks again: to be called before any other use of
/// it. Throws std::runtime_error that says what to do: no library, another build, another NCCL, no
/// GPU.
void LoadCuda();

/// The loaded table; null before LoadCuda().
const CudaLibrary* LoadedCuda();

/// Makes the GPU of this rank of the host the current one and returns its number: the only one that
/// is visible, or that of the rank. Throws std::runtime_error where there are fewer.
int UseCudaDevice(int local_rank);

}  // namespace fastclip
