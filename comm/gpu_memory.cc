#include "comm/gpu_memory.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <cstddef>
#include <stdexcept>

namespace fastclip {
namespace {

constexpr int kOutOfMemory = 2;   // CUDA_ERROR_OUT_OF_MEMORY
constexpr int kUnavailable = 46;  // CUDA_ERROR_DEVICE_UNAVAILABLE
constexpr std::int64_t kLeast = std::int64_t{1} << 30;

constexpr const char* kElsewhere =
    "see nvidia-smi, and wait or show this program another GPU with CUDA_VISIBLE_DEVICES";

std::string Name(int index, const Gpu& gpu) {
  return fmt::format("GPU {} ({}, {})", index, gpu.pci, gpu.name);
}

double Gigabytes(std::int64_t bytes) { return 1e-9 * static_cast<double>(bytes); }

/// The result of a function of the driver, or -1 if it has none of that name.
template <class... Args>
int Call(void* library, const char* function, Args... args) {
  auto* const found = reinterpret_cast<int (*)(Args...)>(dlsym(library, function));
  return found == nullptr ? -1 : found(args...);
}

}  // namespace

GpuMemory AskGpuMemory(const char* library, int index, const Gpu& gpu) {
  void* const driver = dlopen(library, RTLD_NOW | RTLD_GLOBAL);
  if (driver == nullptr) throw std::runtime_error(dlerror());
  int device = 0;
  void* context = nullptr;
  int code = Call(driver, "cuDeviceGet", &device, index);
  if (code == 0) code = Call(driver, "cuDevicePrimaryCtxRetain", &context, device);
  if (code == kOutOfMemory) {
    throw std::runtime_error(
        fmt::format("{} has no memory left for this program: other processes "
                    "fill it; {}",
                    Name(index, gpu), kElsewhere));
  }
  if (code == kUnavailable) {
    throw std::runtime_error(fmt::format("{} is in use by another process in exclusive mode; {}",
                                         Name(index, gpu), kElsewhere));
  }
  std::size_t free = 0, total = 0;
  if (code == 0) code = Call(driver, "cuCtxPushCurrent_v2", context);
  if (code == 0) {
    code = Call(driver, "cuMemGetInfo_v2", &free, &total);
    void* popped = nullptr;
    Call(driver, "cuCtxPopCurrent_v2", &popped);
  }
  if (code != 0) {
    throw std::runtime_error(fmt::format(
        "{} cannot be used: the driver says error {}; see nvidia-smi", Name(index, gpu), code));
  }
  return {.free = static_cast<std::int64_t>(free), .total = static_cast<std::int64_t>(total)};
}

std::string CheckGpuMemory(const GpuMemory& memory, int index, const Gpu& gpu) {
  if (memory.free < kLeast) {
    throw std::runtime_error(
        fmt::format("{}: only {:.1f} of {:.1f} GB is free, other processes "
                    "fill it; {}",
                    Name(index, gpu), Gigabytes(memory.free), Gigabytes(memory.total), kElsewhere));
  }
  // The context of this process takes some of it too.
  if (memory.free >= memory.total - memory.total / 10) return "";
  return fmt::format("{}: only {:.1f} of {:.1f} GB is free, other processes take the rest",
                     Name(index, gpu), Gigabytes(memory.free), Gigabytes(memory.total));
}

}  // namespace fastclip
