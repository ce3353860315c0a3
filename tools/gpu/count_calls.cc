// Counts the CUDA calls of a process by name, for tools/gpu_check.sh: the driver loads this library
// if CUDA_INJECTION64_PATH names it. At the end of the process the counts are written to the file
// that FASTCLIP_GPU_CALLS names, as one JSON object. It is linked to nothing of FastCLIP.

#include <cupti.h>
#include <dlfcn.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>

namespace {

struct Count {
  std::atomic<const char*> name = nullptr;
  std::atomic<long> calls = 0;
};

struct Counts {
  std::array<Count, CUPTI_RUNTIME_TRACE_CBID_SIZE> runtime;
  std::array<Count, CUPTI_DRIVER_TRACE_CBID_SIZE> driver;
  std::array<Count, 1> pageable;
};

// Threads may still call while the process ends: never taken down.
Counts& AllCounts() {
  static auto* const counts = new Counts;
  return *counts;
}

// The runtime's own calls of the driver are part of the runtime's call.
thread_local int runtime_calls = 0;

using AskOfAddress = CUresult (*)(void*, CUpointer_attribute, CUdeviceptr);

// The driver's, which is not linked: it is what loads this library.
AskOfAddress FindAskOfAddress() {
  void* const driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_NOLOAD);
  return driver == nullptr ? nullptr
                           : reinterpret_cast<AskOfAddress>(dlsym(driver, "cuPointerGetAttribute"));
}

AskOfAddress ask_of_address = nullptr;

bool IsPageable(const void* address) {
  unsigned kind = 0;
  // The driver does not know memory that is neither its own nor page-locked.
  return ask_of_address(&kind, CU_POINTER_ATTRIBUTE_MEMORY_TYPE,
                        reinterpret_cast<CUdeviceptr>(address)) != CUDA_SUCCESS;
}

// From or to pageable memory an asynchronous copy makes the host wait too.
void CountIfPageable(const cudaMemcpyAsync_v3020_params& copy) {
  if (!IsPageable(copy.src) && !IsPageable(copy.dst)) return;
  Count& count = AllCounts().pageable[0];
  count.name.store("pageable cudaMemcpyAsync", std::memory_order_relaxed);
  count.calls.fetch_add(1, std::memory_order_relaxed);
}

void CUPTIAPI OnCall(void* /*unused*/, CUpti_CallbackDomain domain, CUpti_CallbackId id,
                     const void* data) {
  const auto* const call = static_cast<const CUpti_CallbackData*>(data);
  const bool enters = call->callbackSite == CUPTI_API_ENTER;
  Count* count = nullptr;
  if (domain == CUPTI_CB_DOMAIN_RUNTIME_API) {
    runtime_calls += enters ? 1 : -1;
    if (id < AllCounts().runtime.size()) count = &AllCounts().runtime[id];
  } else if (runtime_calls == 0 && id < AllCounts().driver.size()) {
    count = &AllCounts().driver[id];
  }
  if (!enters || count == nullptr) return;
  count->name.store(call->functionName, std::memory_order_relaxed);
  count->calls.fetch_add(1, std::memory_order_relaxed);
  if (domain == CUPTI_CB_DOMAIN_RUNTIME_API && id == CUPTI_RUNTIME_TRACE_CBID_cudaMemcpyAsync_v3020)
    CountIfPageable(*static_cast<const cudaMemcpyAsync_v3020_params*>(call->functionParams));
}

template <class List>
void WriteCounts(std::FILE* file, const List& counts, const char*& before) {
  for (const Count& count : counts) {
    if (count.calls == 0) continue;
    std::fprintf(file, "%s\"%s\": %ld", before, count.name.load(), count.calls.load());
    before = ", ";
  }
}

void Write() {
  const char* const path = std::getenv("FASTCLIP_GPU_CALLS");
  std::FILE* const file = path == nullptr ? nullptr : std::fopen(path, "w");
  if (file == nullptr) return;
  const char* before = "{";
  WriteCounts(file, AllCounts().runtime, before);
  WriteCounts(file, AllCounts().driver, before);
  WriteCounts(file, AllCounts().pageable, before);
  std::fprintf(file, "%s}\n", *before == '{' ? "{" : "");
  std::fclose(file);
}

}  // namespace

/// Called by the driver in cuInit().
extern "C" __attribute__((visibility("default"))) int InitializeInjection() {
  ask_of_address = FindAskOfAddress();
  if (ask_of_address == nullptr) {
    std::fprintf(stderr, "count_calls: the driver has no cuPointerGetAttribute\n");
    return 0;
  }
  CUpti_SubscriberHandle subscriber = nullptr;
  if (cuptiSubscribe(&subscriber, OnCall, nullptr) != CUPTI_SUCCESS ||
      cuptiEnableDomain(1, subscriber, CUPTI_CB_DOMAIN_RUNTIME_API) != CUPTI_SUCCESS ||
      cuptiEnableDomain(1, subscriber, CUPTI_CB_DOMAIN_DRIVER_API) != CUPTI_SUCCESS) {
    std::fprintf(stderr, "count_calls: CUPTI cannot be used; another tool may use it\n");
    return 0;
  }
  std::atexit(Write);
  return 1;
}
