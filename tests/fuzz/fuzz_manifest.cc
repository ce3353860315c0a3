#include <xxhash.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "pipeline/manifest.h"
#include "tests/fuzz/memory_file.h"

using namespace fastclip;

namespace {

void OpenAndRead(const std::uint8_t* bytes, std::size_t size) {
  const MemoryFile file(bytes, size);
  Manifest::IsOne(file.path());
  for (const ManifestKind kind : {ManifestKind::kTar, ManifestKind::kTable}) {
    const auto manifest = Manifest::Open(file.path(), kind);
    if (!manifest) continue;
    for (const ManifestEntry& entry : manifest->entries()) {
      std::vector<std::byte> places(16);
      manifest->ReadBlock(entry, entry.count * 4, places);
      if (const auto block = manifest->ReadWholeBlock(entry); block && block->size() > size) {
        __builtin_trap();
      }
    }
  }
}

}  // namespace

// As it is, and with the hashes made right, which would otherwise keep the fuzzer from the entries.
// The layout is manifest.h's.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  OpenAndRead(bytes, size);
  constexpr std::size_t kHead = 64;
  if (size < kHead) return 0;
  std::vector<std::uint8_t> mended(bytes, bytes + size);
  std::memcpy(mended.data(), "FCLIPMF1", 8);
  std::int64_t at = 0, length = 0;
  std::memcpy(&at, mended.data() + 16, 8);
  at = std::clamp<std::int64_t>(at, kHead, static_cast<std::int64_t>(size));
  length = static_cast<std::int64_t>(size) - at;
  std::memcpy(mended.data() + 16, &at, 8);
  std::memcpy(mended.data() + 24, &length, 8);
  const std::uint64_t entries = XXH3_64bits(mended.data() + at, static_cast<std::size_t>(length));
  std::memcpy(mended.data() + 32, &entries, 8);
  const std::uint64_t head = XXH3_64bits(mended.data(), kHead - 8);
  std::memcpy(mended.data() + kHead - 8, &head, 8);
  OpenAndRead(mended.data(), mended.size());
  return 0;
}
