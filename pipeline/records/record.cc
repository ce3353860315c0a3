#include "pipeline/records/record.h"

#include <sys/mman.h>

#include <new>

namespace fastclip {

void FreeRecordMemory::operator()(std::byte* bytes) const noexcept {
  if (mapped > 0) {
    munmap(bytes, mapped);
  } else {
    delete[] bytes;
  }
}

RecordMemory MakeRecordMemory(std::size_t bytes) {
  constexpr std::size_t kLarge = 1 << 20;
  if (bytes < kLarge) return {new std::byte[bytes], {}};
  void* pages =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, /*fd=*/-1, 0);
  if (pages == MAP_FAILED) throw std::bad_alloc();
  return {static_cast<std::byte*>(pages), {.mapped = bytes}};
}

}  // namespace fastclip
