#include "comm/gpu_driver.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <optional>
#include <string_view>

namespace fastclip {
namespace {

// CUresult and CUdevice are ints; the names are those of cuda.h, which a build without CUDA has
// not.
constexpr int kNoDevice = 100;    // CUDA_ERROR_NO_DEVICE
constexpr int kStubLibrary = 34;  // CUDA_ERROR_STUB_LIBRARY

/// Threads that the driver starts take no signal: those are for the thread that waits for them.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_{};
};

std::string Version(int cuda_version) {
  return fmt::format("{}.{}", cuda_version / 1000, cuda_version % 1000 / 10);
}

class Library {
 public:
  explicit Library(void* handle) : handle_(handle) {}

  /// The result of `function`, or -1 if the library has none of that name.
  template <class... Args>
  int Call(const char* function, Args... args) const {
    auto* const found = reinterpret_cast<int (*)(Args...)>(dlsym(handle_, function));
    return found == nullptr ? -1 : found(args...);
  }

  /// "error 999 (unknown error)".
  std::string Error(int code) const {
    const char* text = nullptr;
    if (Call("cuGetErrorString", code, &text) != 0 || text == nullptr) {
      return fmt::format("error {}", code);
    }
    return fmt::format("error {} ({})", code, text);
  }

 private:
  void* handle_;
};

Gpu Describe(const Library& driver, int device) {
  Gpu gpu;
  std::array<char, 256> text{};
  const int size = static_cast<int>(text.size()) - 1;
  if (driver.Call("cuDeviceGetName", text.data(), size, device) == 0) gpu.name = text.data();
  text = {};
  if (driver.Call("cuDeviceGetPCIBusId", text.data(), size, device) == 0) gpu.pci = text.data();
  // The names in /sys are in lower case.
  std::ranges::transform(gpu.pci, gpu.pci.begin(), [](unsigned char c) { return std::tolower(c); });
  std::size_t bytes = 0;
  if (driver.Call("cuDeviceTotalMem_v2", &bytes, device) == 0) {
    gpu.bytes = static_cast<std::int64_t>(bytes);
  }
  return gpu;
}

std::optional<std::string> VisibleDevices() {
  const char* value = std::getenv("CUDA_VISIBLE_DEVICES");
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

std::string NoneVisible() {
  const auto visible = VisibleDevices();
  return visible ? fmt::format("no GPU is visible (CUDA_VISIBLE_DEVICES = \"{}\")", *visible)
                 : "the NVIDIA driver finds no GPU";
}

}  // namespace

GpuDriver AskGpuDriver(const char* library, int needed_cuda) {
  if (VisibleDevices() == "") return {.lack = NoneVisible()};
  const SignalsBlocked blocked;
  // Never closed: LibTorch uses it too.
  void* const handle = dlopen(library, RTLD_NOW | RTLD_GLOBAL);
  if (handle == nullptr) {
    const std::string error = dlerror();
    // The one expected answer; others say what is wrong with a driver that is there, such as a
    // library of its own that is missing.
    if (error.starts_with(std::string(library) + ":") && error.find("No such file") != error.npos) {
      return {.lack = "no NVIDIA driver"};
    }
    return {.lack = fmt::format("the NVIDIA driver cannot be loaded: {}", error), .broken = true};
  }
  const Library driver(handle);
  const auto broken = [](std::string lack, int version = 0) {
    return GpuDriver{.cuda_version = version, .lack = std::move(lack), .broken = true};
  };
  const int started = driver.Call("cuInit", 0U);
  if (started == kNoDevice) return {.lack = NoneVisible()};
  if (started == kStubLibrary) {
    return broken(
        fmt::format("{} is the CUDA toolkit's stub, not the NVIDIA driver; remove the "
                    "folder stubs from LD_LIBRARY_PATH",
                    library));
  }
  if (started != 0) {
    return broken(
        fmt::format("the NVIDIA driver does not start: {}; see nvidia-smi", driver.Error(started)));
  }
  int version = 0;
  if (driver.Call("cuDriverGetVersion", &version) != 0) {
    return broken("the NVIDIA driver cannot report its version; see nvidia-smi");
  }
  // Within a major version an older driver runs newer programs.
  if (version / 1000 < needed_cuda) {
    return broken(fmt::format("the NVIDIA driver is too old: it runs CUDA {}, this program needs "
                              "{}.0; update the driver",
                              Version(version), needed_cuda),
                  version);
  }
  int count = 0;
  if (const int code = driver.Call("cuDeviceGetCount", &count); code != 0) {
    return broken(fmt::format("the NVIDIA driver cannot list its GPUs: {}; see nvidia-smi",
                              driver.Error(code)),
                  version);
  }
  GpuDriver answer{.cuda_version = version};
  for (int ordinal = 0; ordinal < count; ++ordinal) {
    int device = 0;
    if (const int code = driver.Call("cuDeviceGet", &device, ordinal); code != 0) {
      return broken(
          fmt::format("GPU {} cannot be used: {}; see nvidia-smi", ordinal, driver.Error(code)),
          version);
    }
    answer.gpus.push_back(Describe(driver, device));
  }
  if (answer.gpus.empty()) answer.lack = NoneVisible();
  return answer;
}

const GpuDriver& AskGpuDriver() {
  static const GpuDriver answer = AskGpuDriver("libcuda.so.1", FASTCLIP_CUDA_MAJOR);
  return answer;
}

DeviceChoice ChooseDevice(bool built, const GpuDriver& driver) {
  if (!built) {
    return {"cpu",
            "this program was built without CUDA (tools/setup.sh --cuda, then "
            "-DFASTCLIP_CUDA=ON)"};
  }
  if (!driver.lack.empty()) return {"cpu", driver.lack, driver.broken};
  const Gpu& first = driver.gpus.front();
  return {"cuda", fmt::format("{} {} ({}, {:.1f} GB)", driver.gpus.size(),
                              driver.gpus.size() == 1 ? "GPU" : "GPUs", first.name,
                              1e-9 * static_cast<double>(first.bytes))};
}

}  // namespace fastclip
