#include "trainer/step/pinned_memory.h"

#include <ATen/Context.h>

#include <cstdint>
#include <new>
#include <utility>

namespace fastclip {

void* AllocatorMemory::do_allocate(std::size_t bytes, std::size_t alignment) {
  c10::DataPtr data = allocator_.allocate(bytes);
  void* const memory = data.get();
  if (memory == nullptr || reinterpret_cast<std::uintptr_t>(memory) % alignment != 0) {
    throw std::bad_alloc();
  }
  const std::lock_guard lock(mutex_);
  allocated_.emplace(memory, std::move(data));
  return memory;
}

void AllocatorMemory::do_deallocate(void* memory, std::size_t /*bytes*/,
                                    std::size_t /*alignment*/) {
  const std::lock_guard lock(mutex_);
  allocated_.erase(memory);
}

std::pmr::memory_resource* BatchMemory(c10::Device device) {
  if (device.is_cpu()) return std::pmr::new_delete_resource();
  // Batches may outlive the run that made them: never taken down.
  static auto* const pinned = new AllocatorMemory(
      *at::globalContext().getAcceleratorHooksInterface(device.type()).getPinnedMemoryAllocator());
  return pinned;
}

}  // namespace fastclip
