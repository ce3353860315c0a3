#include "pipeline/record.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <new>

namespace fastclip {

const char* SkipName(Skip cause) {
  static constexpr const char* kNames[kSkipCauses] = {
      "no_image", "no_caption", "undecodable", "too_large", "truncated", "missing",
      "no_label", "bad_label",  "changed",     "bad_row",   "bad_json",  "bad_caption"};
  return kNames[static_cast<int>(cause)];
}

std::optional<Skip> SkipOfName(std::string_view name) {
  for (int cause = 0; cause < kSkipCauses; ++cause) {
    if (name == SkipName(static_cast<Skip>(cause))) return static_cast<Skip>(cause);
  }
  return std::nullopt;
}

std::string DescribeSkips(const SkipCounts& counts) {
  std::string text;
  for (int cause = 0; cause < kSkipCauses; ++cause) {
    if (counts[cause] == 0) continue;
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", counts[cause],
                        SkipName(static_cast<Skip>(cause)));
  }
  return text;
}

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
