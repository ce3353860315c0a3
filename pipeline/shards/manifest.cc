#include "pipeline/shards/manifest.h"

#include <xxhash.h>

#include <array>
#include <bit>
#include <cstring>
#include <span>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "pipeline/files/file_system.h"
#include "pipeline/files/stream_hash.h"
#include "pipeline/shards/packed_facts.h"

namespace fastclip {
namespace {

static_assert(std::endian::native == std::endian::little,
              "the manifest is written as it lies in memory");

struct Head {
  std::array<char, 8> magic;
  std::uint32_t kind;
  std::uint32_t entries;
  std::int64_t entries_bytes;
  std::uint64_t entries_hash;
  std::uint64_t head_hash;  // of the bytes before it
};
static_assert(sizeof(Head) == 40);
constexpr std::array<char, 8> kMagic = {'F', 'C', 'L', 'I', 'P', 'M', 'F', '4'};
/// The last sign is the format's age.
constexpr std::string_view kAnyMagic = "FCLIPMF";

struct PackedEntry {
  std::int64_t size, mtime_ns, count, incomplete, damaged;
  ByteRange first_damage;
  std::uint64_t content_hash, checksums_hash;
  std::uint32_t flags, name_bytes;
};
static_assert(sizeof(PackedEntry) == 80);

constexpr std::int64_t kMaxEntriesBytes = std::int64_t{1} << 30;
/// More records than this in one list are taken for damage; sums stay far from overflow.
constexpr std::int64_t kMostRecords = std::int64_t{1} << 60;

std::uint64_t HashOfHead(const Head& head) { return XXH3_64bits(&head, offsetof(Head, head_hash)); }

std::uint64_t DataHash(const std::vector<ManifestEntry>& entries) {
  StreamHash hash;
  for (const ManifestEntry& entry : entries) {
    hash.Add(std::as_bytes(std::span(entry.name.c_str(), entry.name.size() + 1)));
    hash.Add(std::as_bytes(std::span(&entry.count, 1)));
    hash.Add(std::as_bytes(std::span(&entry.content_hash, 1)));
  }
  return hash.Digest();
}

/// The entries in `bytes`; nothing where a size does not fit.
std::optional<std::vector<ManifestEntry>> Unpack(std::span<const std::byte> bytes,
                                                 std::uint32_t count) {
  if (bytes.size() / sizeof(PackedEntry) < count) return std::nullopt;
  std::vector<ManifestEntry> entries(count);
  std::int64_t records = 0;
  for (ManifestEntry& entry : entries) {
    PackedEntry packed;
    if (bytes.size() < sizeof(packed)) return std::nullopt;
    std::memcpy(&packed, bytes.data(), sizeof(packed));
    bytes = bytes.subspan(sizeof(packed));
    if (bytes.size() < packed.name_bytes || packed.size < 0 || packed.count < 0 ||
        packed.count > kMostRecordsOfFile || (records += packed.count) > kMostRecords) {
      return std::nullopt;
    }
    entry.name.assign(reinterpret_cast<const char*>(bytes.data()), packed.name_bytes);
    bytes = bytes.subspan(packed.name_bytes);
    UnpackFacts(packed, entry);
  }
  if (!bytes.empty()) return std::nullopt;
  return entries;
}

PackedEntry Packed(const ManifestEntry& entry) {
  PackedEntry packed{};
  PackFacts(entry, packed);
  packed.name_bytes = static_cast<std::uint32_t>(entry.name.size());
  return packed;
}

}  // namespace

Manifest::Manifest(std::vector<ManifestEntry> entries)
    : entries_(std::move(entries)), hash_(DataHash(entries_)) {}

std::optional<Manifest> Manifest::Open(const std::string& path, FileKind kind) {
  const auto file = OpenFile(path);
  if (file == nullptr) return std::nullopt;
  const std::int64_t size = file->Stamp().size;
  Head head;
  if (file->Read(0, std::as_writable_bytes(std::span(&head, 1))) < sizeof(head) ||
      head.magic != kMagic || head.head_hash != HashOfHead(head) ||
      head.kind != static_cast<std::uint32_t>(kind) || head.entries_bytes < 0 ||
      head.entries_bytes > kMaxEntriesBytes ||
      head.entries_bytes != size - static_cast<std::int64_t>(sizeof(head))) {
    return std::nullopt;
  }
  std::vector<std::byte> bytes(static_cast<std::size_t>(head.entries_bytes));
  if (file->Read(sizeof(head), bytes) < bytes.size() ||
      XXH3_64bits(bytes.data(), bytes.size()) != head.entries_hash) {
    return std::nullopt;
  }
  auto entries = Unpack(bytes, head.entries);
  return entries ? std::optional(Manifest(std::move(*entries))) : std::nullopt;
}

bool Manifest::IsOne(const std::string& path) {
  const auto file = OpenFile(path);
  std::array<char, kAnyMagic.size()> magic{};
  return file != nullptr &&
         file->Read(0, std::as_writable_bytes(std::span(magic))) == magic.size() &&
         std::string_view(magic.data(), magic.size()) == kAnyMagic;
}

std::vector<std::byte> Manifest::Pack(FileKind kind) const {
  std::size_t size = sizeof(Head);
  for (const ManifestEntry& entry : entries_) size += sizeof(PackedEntry) + entry.name.size();
  std::vector<std::byte> bytes(size);
  std::byte* at = bytes.data() + sizeof(Head);
  for (const ManifestEntry& entry : entries_) {
    const PackedEntry packed = Packed(entry);
    std::memcpy(at, &packed, sizeof(packed));
    std::memcpy(at + sizeof(packed), entry.name.data(), entry.name.size());
    at += sizeof(packed) + entry.name.size();
  }
  const auto entries = std::span(bytes).subspan(sizeof(Head));
  if (std::ssize(entries) > kMaxEntriesBytes) {
    throw std::runtime_error("more than 1 GiB of shard names; split the list with '::'");
  }
  Head head{.magic = kMagic,
            .kind = static_cast<std::uint32_t>(kind),
            .entries = static_cast<std::uint32_t>(entries_.size()),
            .entries_bytes = std::ssize(entries),
            .entries_hash = XXH3_64bits(entries.data(), entries.size()),
            .head_hash = 0};
  head.head_hash = HashOfHead(head);
  std::memcpy(bytes.data(), &head, sizeof(head));
  return bytes;
}

}  // namespace fastclip
