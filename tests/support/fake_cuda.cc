#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

// A libcuda.so.1 for tests of what the program says of a driver and its GPUs. The variable
// FAKE_CUDA tells it what to answer, in words NAME=NUMBER: init (the result of cuInit), version,
// gpus, memory and free (GiB of each GPU), context (the result of making one), same (1: one PCI id
// for all).

namespace {

long Word(const char* name, long usual) {
  const char* words = std::getenv("FAKE_CUDA");
  const std::string all = std::string(" ") + (words == nullptr ? "" : words);
  const std::size_t at = all.find(std::string(" ") + name + "=");
  return at == std::string::npos ? usual : std::atol(all.c_str() + at + std::strlen(name) + 2);
}

constexpr std::size_t kGiB = std::size_t{1} << 30;

}  // namespace

extern "C" {

int cuInit(unsigned) { return static_cast<int>(Word("init", 0)); }

int cuDriverGetVersion(int* version) {
  *version = static_cast<int>(Word("version", 13020));
  return 0;
}

int cuGetErrorString(int error, const char** text) {
  *text = error == 999 ? "unknown error" : "some error";
  return 0;
}

int cuDeviceGetCount(int* count) {
  *count = static_cast<int>(Word("gpus", 1));
  return 0;
}

int cuDeviceGet(int* device, int ordinal) {
  *device = ordinal;
  return 0;
}

int cuDeviceGetName(char* name, int size, int) {
  std::snprintf(name, static_cast<std::size_t>(size), "Fake H200");
  return 0;
}

int cuDeviceGetPCIBusId(char* id, int size, int device) {
  std::snprintf(id, static_cast<std::size_t>(size), "0000:%02X:00.0",
                Word("same", 0) == 1 ? 27 : 27 + device);
  return 0;
}

int cuDeviceTotalMem_v2(std::size_t* bytes, int) {
  *bytes = static_cast<std::size_t>(Word("memory", 140)) * kGiB;
  return 0;
}

int cuDevicePrimaryCtxRetain(void** context, int) {
  *context = nullptr;
  return static_cast<int>(Word("context", 0));
}

int cuCtxPushCurrent_v2(void*) { return 0; }
int cuCtxPopCurrent_v2(void**) { return 0; }

int cuMemGetInfo_v2(std::size_t* free, std::size_t* total) {
  *total = static_cast<std::size_t>(Word("memory", 140)) * kGiB;
  *free = static_cast<std::size_t>(Word("free", Word("memory", 140))) * kGiB;
  return 0;
}
}
