#include "pipeline/manifest.h"

#include <xxhash.h>

#include <array>
#include <bit>
#include <cstring>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace fastclip {
namespace {

static_assert(std::endian::native == std::endian::little,
              "the manifest is written as it lies in memory");

struct Head {
  std::array<char, 8> magic;
  std::uint32_t kind;
  std::uint32_t entries;
  std::int64_t entries_at;
  std::int64_t entries_bytes;
  std::uint64_t entries_hash;
  std::uint64_t data_hash;
  std::uint64_t unused;
  std::uint64_t head_hash;  // of the bytes before it
};
static_assert(sizeof(Head) == 64);
constexpr std::array<char, 8> kMagic = {'F', 'C', 'L', 'I', 'P', 'M', 'F', '1'};

struct PackedEntry {
  std::int64_t size, mtime_ns, count, incomplete, damaged, block_at, block_bytes;
  std::uint64_t block_hash, content_hash;
  std::uint32_t cut, name_bytes;
};
static_assert(sizeof(PackedEntry) == 80);

constexpr std::int64_t kMaxEntriesBytes = std::int64_t{1} << 30;

std::uint64_t HeadHash(const Head& head) { return XXH3_64bits(&head, offsetof(Head, head_hash)); }

std::uint64_t DataHash(const std::vector<ManifestEntry>& entries) {
  struct StateDeleter {
    void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
  };
  const std::unique_ptr<XXH3_state_t, StateDeleter> state(XXH3_createState());
  if (state == nullptr) throw std::bad_alloc();
  XXH3_64bits_reset(state.get());
  for (const ManifestEntry& entry : entries) {
    const std::int64_t count = entry.count;
    XXH3_64bits_update(state.get(), entry.name.c_str(), entry.name.size() + 1);
    XXH3_64bits_update(state.get(), &count, sizeof(count));
    XXH3_64bits_update(state.get(), &entry.content_hash, sizeof(entry.content_hash));
  }
  return XXH3_64bits_digest(state.get());
}

/// The entries in `bytes`; nothing where a size does not fit.
std::optional<std::vector<ManifestEntry>> Unpack(std::span<const std::byte> bytes,
                                                 std::uint32_t count, std::int64_t blocks_end) {
  std::vector<ManifestEntry> entries;
  for (std::uint32_t i = 0; i < count; ++i) {
    PackedEntry packed;
    if (bytes.size() < sizeof(packed)) return std::nullopt;
    std::memcpy(&packed, bytes.data(), sizeof(packed));
    bytes = bytes.subspan(sizeof(packed));
    if (bytes.size() < packed.name_bytes || packed.count < 0 || packed.size < 0 ||
        packed.block_bytes < 0 || packed.block_at < static_cast<std::int64_t>(sizeof(Head)) ||
        packed.block_at > blocks_end - packed.block_bytes) {
      return std::nullopt;
    }
    ManifestEntry& entry = entries.emplace_back();
    entry.name.assign(reinterpret_cast<const char*>(bytes.data()), packed.name_bytes);
    bytes = bytes.subspan(packed.name_bytes);
    entry.stamp = {packed.size, packed.mtime_ns};
    entry.count = packed.count;
    entry.incomplete = packed.incomplete;
    entry.damaged = packed.damaged;
    entry.cut = packed.cut != 0;
    entry.content_hash = packed.content_hash;
    entry.block_at = packed.block_at;
    entry.block_bytes = packed.block_bytes;
    entry.block_hash = packed.block_hash;
  }
  if (!bytes.empty()) return std::nullopt;
  return entries;
}

std::vector<std::byte> Pack(const std::vector<ManifestEntry>& entries) {
  std::vector<std::byte> bytes;
  const auto append = [&](const void* data, std::size_t size) {
    const auto* first = static_cast<const std::byte*>(data);
    bytes.insert(bytes.end(), first, first + size);
  };
  for (const ManifestEntry& entry : entries) {
    const PackedEntry packed = {entry.stamp.size,
                                entry.stamp.mtime_ns,
                                entry.count,
                                entry.incomplete,
                                entry.damaged,
                                entry.block_at,
                                entry.block_bytes,
                                entry.block_hash,
                                entry.content_hash,
                                entry.cut,
                                static_cast<std::uint32_t>(entry.name.size())};
    append(&packed, sizeof(packed));
    append(entry.name.data(), entry.name.size());
  }
  return bytes;
}

}  // namespace

std::optional<Manifest> Manifest::Open(const std::string& path, ManifestKind kind) {
  Manifest manifest;
  manifest.path_ = path;
  manifest.fd_ = OpenToRead(path);
  if (!manifest.fd_) return std::nullopt;
  const std::int64_t size = StampOf(manifest.fd_.get(), path).size;

  Head head;
  std::array<std::byte, sizeof(Head)> head_bytes;
  if (ReadAt(manifest.fd_.get(), 0, head_bytes, path) < sizeof(Head)) return std::nullopt;
  std::memcpy(&head, head_bytes.data(), sizeof(Head));
  if (head.magic != kMagic || head.head_hash != HeadHash(head) ||
      head.kind != static_cast<std::uint32_t>(kind) || head.entries_bytes < 0 ||
      head.entries_bytes > kMaxEntriesBytes ||
      head.entries_at < static_cast<std::int64_t>(sizeof(Head)) || head.entries_at > size ||
      head.entries_bytes != size - head.entries_at) {
    return std::nullopt;
  }
  std::vector<std::byte> bytes(static_cast<std::size_t>(head.entries_bytes));
  if (ReadAt(manifest.fd_.get(), head.entries_at, bytes, path) < bytes.size() ||
      XXH3_64bits(bytes.data(), bytes.size()) != head.entries_hash) {
    return std::nullopt;
  }
  auto entries = Unpack(bytes, head.entries, head.entries_at);
  if (!entries || DataHash(*entries) != head.data_hash) return std::nullopt;
  manifest.entries_ = std::move(*entries);
  manifest.hash_ = head.data_hash;
  return manifest;
}

bool Manifest::IsOne(const std::string& path) {
  const UniqueFd fd = OpenToRead(path);
  std::array<char, kMagic.size()> magic{};
  return fd &&
         ReadAt(fd.get(), 0, std::as_writable_bytes(std::span(magic)), path) == magic.size() &&
         magic == kMagic;
}

bool Manifest::ReadBlock(const ManifestEntry& entry, std::int64_t first,
                         std::span<std::byte> out) const {
  const auto bytes = static_cast<std::int64_t>(out.size());
  if (first < 0 || bytes > entry.block_bytes || first > entry.block_bytes - bytes) return false;
  return ReadAt(fd_.get(), entry.block_at + first, out, path_) == out.size();
}

std::optional<std::vector<std::byte>> Manifest::ReadWholeBlock(const ManifestEntry& entry) const {
  std::vector<std::byte> block(static_cast<std::size_t>(entry.block_bytes));
  if (!ReadBlock(entry, 0, block) || XXH3_64bits(block.data(), block.size()) != entry.block_hash) {
    return std::nullopt;
  }
  return block;
}

ManifestWriter::ManifestWriter(const std::string& path, ManifestKind kind)
    : path_(path), kind_(kind), file_(path) {
  file_.Append(std::array<std::byte, sizeof(Head)>{});
}

void ManifestWriter::AddBlock(ManifestEntry& entry, std::span<const std::byte> block) {
  entry.block_at = file_.size();
  entry.block_bytes = static_cast<std::int64_t>(block.size());
  entry.block_hash = XXH3_64bits(block.data(), block.size());
  file_.Append(block);
}

Manifest ManifestWriter::Finish(std::vector<ManifestEntry> entries) {
  const std::vector<std::byte> bytes = Pack(entries);
  if (static_cast<std::int64_t>(bytes.size()) > kMaxEntriesBytes) {
    throw std::runtime_error(path_ + ": over 1 GiB of shard names; split the list with '::'");
  }
  Head head{};
  head.magic = kMagic;
  head.kind = static_cast<std::uint32_t>(kind_);
  head.entries = static_cast<std::uint32_t>(entries.size());
  head.entries_at = file_.size();
  head.entries_bytes = static_cast<std::int64_t>(bytes.size());
  head.entries_hash = XXH3_64bits(bytes.data(), bytes.size());
  head.data_hash = DataHash(entries);
  head.head_hash = HeadHash(head);
  file_.Append(bytes);
  file_.WriteAt(0, std::as_bytes(std::span(&head, 1)));

  Manifest manifest;
  manifest.path_ = path_;
  manifest.fd_ = file_.Commit();
  manifest.entries_ = std::move(entries);
  manifest.hash_ = head.data_hash;
  return manifest;
}

}  // namespace fastclip
