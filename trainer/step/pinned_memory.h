#pragma once

#include <c10/core/Allocator.h>
#include <c10/core/Device.h>

#include <memory_resource>
#include <mutex>
#include <unordered_map>

namespace fastclip {

/// Memory from a LibTorch allocator: for batches copied to a GPU, the allocator of pinned host
/// memory, which gives full bus speed. It rounds requests up to a power of two, so actual use can
/// be up to twice pipeline.memory. Thread-safe.
class AllocatorMemory final : public std::pmr::memory_resource {
 public:
  explicit AllocatorMemory(c10::Allocator& allocator) : allocator_(allocator) {}

 private:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override;
  void do_deallocate(void* memory, std::size_t bytes, std::size_t alignment) override;
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override {
    return this == &other;
  }

  c10::Allocator& allocator_;
  std::mutex mutex_;
  std::unordered_map<void*, c10::DataPtr> allocated_;
};

/// Memory for the batches of a run on `device`: pinned for a GPU. Lives as long as the process.
std::pmr::memory_resource* BatchMemory(c10::Device device);

}  // namespace fastclip
