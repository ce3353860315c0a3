#pragma once

#include <c10/core/Allocator.h>

#include <memory_resource>
#include <mutex>
#include <unordered_map>

namespace fastclip {

/// Memory of an allocator of LibTorch: for batches that a GPU fetches, its allocator of pinned host
/// memory, from which copies go at the bus's speed. That one rounds a request up to a power of two:
/// pipeline.memory, which counts what is asked for, may be passed by up to its own size.
/// Thread-safe.
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

/// Where the batches of a run on such a device live; lives as long as the process.
std::pmr::memory_resource* BatchMemory(bool on_cuda);

}  // namespace fastclip
