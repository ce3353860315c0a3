#include <xxhash.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <vector>

#include "pipeline/files/file_system.h"
#include "pipeline/shards/manifest.h"
#include "pipeline/shards/sidecar.h"
#include "tests/fuzz/memory_file.h"

using namespace fastclip;

namespace {

constexpr FileKind kKinds[] = {FileKind::kTar, FileKind::kTable};

void OpenManifest(const MemoryFile& file, std::size_t size) {
  Manifest::IsOne(file.path());
  for (const FileKind kind : kKinds) {
    const auto manifest = Manifest::Open(file.path(), kind);
    if (!manifest) continue;
    std::int64_t records = 0;
    for (const ManifestEntry& entry : manifest->entries()) {
      if (entry.name.size() > size || entry.count < 0) __builtin_trap();
      records += entry.count;
    }
    // What was read can be written again.
    if (manifest->Pack(kind).size() != size || records < 0) __builtin_trap();
  }
}

void OpenSidecar(const MemoryFile& file, std::size_t size) {
  for (const FileKind kind : kKinds) {
    const auto sidecar = Sidecar::Open(OpenFile(file.path()), 0, kind);
    if (!sidecar) continue;
    const FileFacts& facts = sidecar->facts();
    const bool whole = sidecar->IsWhole(/*with_checksums=*/false);
    std::vector<std::byte> places(8);
    std::vector<std::uint32_t> checksums(1);
    for (const std::int64_t at : {std::int64_t{0}, facts.count - 1, facts.count}) {
      if (at < 0) continue;  // the last of no records
      try {
        sidecar->ReadPlaces(kind == FileKind::kTar ? at * 4 : at / kRowsApart * 8, places);
        if (static_cast<std::size_t>(at) > size * kRowsApart) __builtin_trap();
      } catch (const std::out_of_range&) {
      } catch (const std::runtime_error&) {
        if (whole) __builtin_trap();
      }
      try {
        sidecar->ReadChecksums(at, checksums);
        if (static_cast<std::size_t>(at) > size) __builtin_trap();
      } catch (const std::out_of_range&) {
      } catch (const std::runtime_error&) {
        if (sidecar->IsWhole(/*with_checksums=*/true)) __builtin_trap();
      }
    }
  }
}

void Open(const std::vector<std::uint8_t>& bytes) {
  const MemoryFile file(bytes.data(), bytes.size());
  OpenManifest(file, bytes.size());
  OpenSidecar(file, bytes.size());
}

template <class T>
void Put(T value, std::size_t at, std::vector<std::uint8_t>& bytes) {
  std::memcpy(bytes.data() + at, &value, sizeof(value));
}

std::uint64_t Hash(const std::vector<std::uint8_t>& bytes, std::size_t from, std::size_t to) {
  return XXH3_64bits(bytes.data() + from, to - from);
}

/// As a manifest whose hashes are right.
std::vector<std::uint8_t> MendedManifest(std::vector<std::uint8_t> bytes) {
  constexpr std::size_t kHead = 40;
  if (bytes.size() < kHead) return bytes;
  std::memcpy(bytes.data(), "FCLIPMF4", 8);
  Put(static_cast<std::int64_t>(bytes.size() - kHead), 16, bytes);
  Put(Hash(bytes, kHead, bytes.size()), 24, bytes);
  Put(Hash(bytes, 0, kHead - 8), kHead - 8, bytes);
  return bytes;
}

/// As a sidecar whose hashes are right, where the places and checksums that it counts are there.
std::vector<std::uint8_t> MendedSidecar(std::vector<std::uint8_t> bytes) {
  constexpr std::size_t kHead = 104;
  if (bytes.size() < kHead) return bytes;
  std::memcpy(bytes.data(), "FCLIPSC3", 8);
  std::uint32_t kind = 0;
  std::int64_t count = 0;
  std::memcpy(&kind, bytes.data() + 8, sizeof(kind));
  std::memcpy(&count, bytes.data() + 32, sizeof(count));
  if (count >= 0 && count <= static_cast<std::int64_t>(bytes.size()) * kRowsApart) {
    const auto records = static_cast<std::size_t>(count);
    const std::size_t places =
        kHead + (kind == 1 ? (records + 1) * 4 : ((records + kRowsApart - 1) / kRowsApart + 1) * 8);
    const std::size_t border = std::min(places, bytes.size());
    Put(Hash(bytes, kHead, border), 80, bytes);
    Put(Hash(bytes, border, std::min(border + records * 4, bytes.size())), 88, bytes);
  }
  Put(Hash(bytes, 0, kHead - 8), kHead - 8, bytes);
  return bytes;
}

}  // namespace

// As it is, and with the hashes made right, which would otherwise keep the fuzzer from what they
// guard. The layouts are manifest.h's and sidecar.h's.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const std::vector<std::uint8_t> input(bytes, bytes + size);
  Open(input);
  Open(MendedManifest(input));
  Open(MendedSidecar(input));
  return 0;
}
