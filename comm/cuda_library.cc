#include "comm/cuda_library.h"

#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>
#include <fmt/format.h>

#include <filesystem>
#include <stdexcept>

#include "pipeline/files/program_folder.h"

namespace fastclip {
namespace {

namespace fs = std::filesystem;

const CudaLibrary* loaded = nullptr;

int GpuCount() { return c10::impl::VirtualGuardImpl(c10::kCUDA).deviceCount(); }

void* Open() {
  const fs::path& folder = ProgramFolder();
  if (folder.empty()) {
    throw std::runtime_error(
        "train.device = \"cuda\": cannot find the GPU library next to this program, because /proc "
        "is not available; mount /proc");
  }
  for (const fs::path& file :
       {folder / kCudaLibraryName, folder.parent_path() / "lib" / kCudaLibraryName}) {
    if (!fs::exists(file)) continue;
    if (void* handle = dlopen(file.c_str(), RTLD_NOW | RTLD_GLOBAL)) return handle;
    throw std::runtime_error(fmt::format("{} cannot be loaded: {}", file.string(), dlerror()));
  }
  throw std::runtime_error(
      fmt::format("train.device = \"cuda\" needs {} next to the program; run tools/setup.sh "
                  "--cuda, then configure with -DFASTCLIP_CUDA=ON and build",
                  kCudaLibraryName));
}

}  // namespace

void LoadCuda() {
  if (loaded == nullptr) {
    void* symbol = dlsym(Open(), kCudaLibrarySymbol);
    if (symbol == nullptr) {
      throw std::runtime_error(
          fmt::format("{} is not the GPU library of this program; rebuild both", kCudaLibraryName));
    }
    const auto* library = reinterpret_cast<const CudaLibrary* (*)()>(symbol)();
    if (std::string(library->build) != FASTCLIP_CUDA_BUILD) {
      throw std::runtime_error(
          fmt::format("{} is from build {}, the program from build {}; rebuild both",
                      kCudaLibraryName, library->build, FASTCLIP_CUDA_BUILD));
    }
    if (library->nccl_version() != library->nccl_header_version) {
      throw std::runtime_error(
          fmt::format("NCCL {} was loaded, but {} was compiled for {}; check LD_LIBRARY_PATH for "
                      "another libnccl.so.2",
                      library->nccl_version(), kCudaLibraryName, library->nccl_header_version));
    }
    loaded = library;
  }
  if (GpuCount() == 0) {
    throw std::runtime_error(
        "train.device = \"cuda\", but this machine has no NVIDIA GPU, or no driver for it (see "
        "nvidia-smi); set train.device = \"cpu\" to train on the CPU");
  }
}

const CudaLibrary* LoadedCuda() { return loaded; }

int UseCudaDevice(int local_rank) {
  const int count = GpuCount();
  // Schedulers often show each rank its own GPU alone.
  const int device = count == 1 ? 0 : local_rank;
  if (device >= count) {
    throw std::runtime_error(fmt::format(
        "no GPU for local rank {}: this host has {} GPUs; start at most one rank per GPU",
        local_rank, count));
  }
  c10::impl::VirtualGuardImpl(c10::kCUDA)
      .setDevice(c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(device)));
  return device;
}

}  // namespace fastclip
