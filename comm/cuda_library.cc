#include "comm/cuda_library.h"

#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/Exception.h>
#include <dlfcn.h>
#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <stdexcept>
#include <vector>

#include "comm/device_graph.h"
#include "comm/gpu_memory.h"
#include "pipeline/files/program_folder.h"

namespace fastclip {
namespace {

namespace fs = std::filesystem;

const CudaLibrary* loaded = nullptr;

struct KeptWarning final : c10::WarningHandler {
  void process(const c10::Warning& warning) override {
    text = warning.msg().substr(0, warning.msg().find('\n'));
    // Guesses at causes come first, then what CUDA says.
    if (const auto error = text.rfind("Error "); error != text.npos) text.erase(0, error);
  }
  std::string text = "no reason was given";
};

int GpuCount() { return c10::impl::VirtualGuardImpl(c10::kCUDA).deviceCount(); }

/// Empty if the library is not there.
fs::path LibraryFile() {
  const fs::path& folder = ProgramFolder();
  if (folder.empty()) return {};
  for (const fs::path& file :
       {folder / kCudaLibraryName, folder.parent_path() / "lib" / kCudaLibraryName}) {
    if (fs::exists(file)) return file;
  }
  return {};
}

/// Throws if the library is not there.
fs::path RequireLibrary(const std::string& asked) {
  if (ProgramFolder().empty()) {
    throw std::runtime_error(
        fmt::format("{}: cannot find the GPU library next to this program, because /proc is not "
                    "available; mount /proc",
                    asked));
  }
  const fs::path file = LibraryFile();
  if (file.empty()) {
    const GpuDriver& driver = AskGpuDriver();
    throw std::runtime_error(fmt::format(
        "{}: {} was built without CUDA ({} is not next to it): run tools/setup.sh --cuda, then "
        "configure with -DFASTCLIP_CUDA=ON and build",
        asked,
        driver.lack.empty()
            ? fmt::format("there is a GPU ({}), but this program", driver.gpus.front().name)
            : driver.lack + "; on this machine use cpu, or leave it at auto. This program also",
        kCudaLibraryName));
  }
  return file;
}

void RefuseLack(const std::string& asked) {
  const std::string& lack = AskGpuDriver().lack;
  if (lack.empty()) return;
  throw std::runtime_error(
      fmt::format("{}: {}; without a GPU use cpu, or leave it at auto", asked, lack));
}

void* Open(const fs::path& file, const std::string& asked) {
  if (void* handle = dlopen(file.c_str(), RTLD_NOW | RTLD_GLOBAL)) return handle;
  throw std::runtime_error(fmt::format("{}: {}", asked, ExplainLoadError(dlerror())));
}

}  // namespace

DeviceChoice ChooseDevice() {
  const bool built = !LibraryFile().empty();
  return ChooseDevice(built, built ? AskGpuDriver() : GpuDriver());
}

std::string ExplainLoadError(const std::string& error) {
  const auto has = [&](const char* word) { return error.find(word) != error.npos; };
  const char* reason = "cannot be loaded";
  if (has("undefined symbol") || has("version `")) {
    reason = "does not fit the LibTorch that it found: torch of another version";
  } else if (has("libnccl")) {
    reason = "found no NCCL: the torch wheel has none, or its nvidia-nccl wheel is missing";
  } else if (has("libtorch_cuda") || has("libc10_cuda")) {
    reason = "found no LibTorch with CUDA";
  }
  return fmt::format(
      "{} {} ({}); run tools/setup.sh --cuda again, configure with -DFASTCLIP_CUDA=ON and build",
      kCudaLibraryName, reason, error);
}

void CheckForCuda(const std::string& asked) {
  RequireLibrary(asked);
  RefuseLack(asked);
}

void LoadCuda(const std::string& asked) {
  if (loaded == nullptr) {
    void* symbol = dlsym(Open(RequireLibrary(asked), asked), kCudaLibrarySymbol);
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
    SetDeviceGraphs(c10::kCUDA, [] { return std::unique_ptr<DeviceGraph>(loaded->make_graph()); });
  }
  RefuseLack(asked);
  KeptWarning warning;  // LibTorch says there why it finds none
  const c10::WarningUtils::WarningHandlerGuard kept(&warning);
  if (GpuCount() == 0) {
    throw std::runtime_error(fmt::format(
        "{}: the NVIDIA driver has a GPU ({}), but CUDA {} of LibTorch cannot use it: {}; check "
        "LD_LIBRARY_PATH for another libcudart, and see nvidia-smi",
        asked, AskGpuDriver().gpus.front().name, FASTCLIP_CUDA_VERSION, warning.text));
  }
}

const CudaLibrary* LoadedCuda() { return loaded; }

int GpuOfRank(int local_rank, std::size_t visible) {
  if (visible == 1) return 0;
  if (static_cast<std::size_t>(local_rank) < visible) return local_rank;
  throw std::runtime_error(
      fmt::format("no GPU for local rank {}: this host has {} GPUs; start at most one rank per GPU",
                  local_rank, visible));
}

void RequireGpus(const GpuDriver& driver, int ranks) {
  if (static_cast<std::size_t>(ranks) <= driver.gpus.size()) return;
  throw std::runtime_error(
      fmt::format("{0} ranks need {0} GPUs, but this host has {1}; start at most one rank per "
                  "GPU, or set train.device = \"cpu\"",
                  ranks, driver.gpus.size()));
}

OwnGpu UseCudaDevice(int local_rank) {
  const int device = GpuOfRank(local_rank, static_cast<std::size_t>(GpuCount()));
  c10::impl::VirtualGuardImpl(c10::kCUDA)
      .setDevice(c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(device)));
  // LibTorch counts the GPUs as the driver does.
  return {.index = device, .pci = AskGpuDriver().gpus.at(static_cast<std::size_t>(device)).pci};
}

std::string CheckOwnGpu(int local_rank) {
  const std::vector<Gpu>& gpus = AskGpuDriver().gpus;
  const int index = GpuOfRank(local_rank, gpus.size());
  const Gpu& gpu = gpus.at(static_cast<std::size_t>(index));
  return CheckGpuMemory(AskGpuMemory("libcuda.so.1", index, gpu), index, gpu);
}

c10::Device OpenDevice(const std::string& device, const std::string& asked,
                       const std::function<void(const std::string&)>& warn) {
  if (device == "cpu") return c10::Device(c10::kCPU);
  constexpr int kOnlyRank = 0;
  CheckForCuda(asked);
  const std::string little = CheckOwnGpu(kOnlyRank);
  LoadCuda(asked);
  const OwnGpu gpu = UseCudaDevice(kOnlyRank);
  if (!little.empty()) warn(little);
  return c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(gpu.index));
}

}  // namespace fastclip
