#include "pipeline/shards/sidecar.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "pipeline/base/printable.h"
#include "pipeline/files/stream_hash.h"
#include "pipeline/shards/packed_facts.h"

namespace fastclip {
namespace {

static_assert(std::endian::native == std::endian::little,
              "a sidecar is written as it lies in memory");

struct Head {
  static constexpr std::array<char, 8> kMagic = {'F', 'C', 'L', 'I', 'P', 'S', 'C', '3'};
  std::array<char, 8> magic;
  std::uint32_t kind, flags;
  std::int64_t size, mtime_ns, count, incomplete, damaged;
  ByteRange first_damage;
  std::uint64_t content_hash, places_hash, checksums_hash;
  std::uint64_t head_hash;  // of the bytes before it
};
static_assert(sizeof(Head) == 104);

struct OutdatedHead {
  static constexpr std::array<char, 8> kMagic = {'F', 'C', 'L', 'I', 'P', 'S', 'C', '2'};
  std::array<char, 8> magic;
  std::uint32_t kind, flags;
  std::int64_t size, mtime_ns, count, incomplete, damaged;
  std::uint64_t content_hash, places_hash, checksums_hash;
  std::uint64_t head_hash;
};
static_assert(sizeof(OutdatedHead) == 88);

constexpr std::int64_t kChecksumBytes = sizeof(std::uint32_t);
constexpr std::size_t kHashedAtOnce = 256 << 10;

template <class Head>
std::uint64_t HashOfHead(const Head& head) {
  return XXH3_64bits(&head, offsetof(Head, head_hash));
}

}  // namespace

void RequireSameRecords(const std::string& path, const FileFacts& before, const FileFacts& now,
                        const std::string& index_again) {
  if (before.count == 0) return;  // nothing had an index
  if (before.count == now.count && before.content_hash == now.content_hash) return;
  throw std::runtime_error(
      fmt::format("{}: changed since it was indexed ({}). To use it as it is now, in a new run: "
                  "{}. To resume a "
                  "run, restore the old file",
                  path,
                  before.count == now.count
                      ? fmt::format("still {}, but different ones", Counted(now.count, "record"))
                      : fmt::format("{} then, {} now", Counted(before.count, "record"), now.count),
                  index_again));
}

std::uint32_t RecordChecksum(std::uint64_t xxh3) { return static_cast<std::uint32_t>(xxh3); }

void SealChecksums(WalkedFile& walked) {
  const auto bytes = std::as_bytes(std::span(walked.checksums));
  walked.facts.checksums_hash = XXH3_64bits(bytes.data(), bytes.size());
}

std::vector<std::byte> PackSidecar(FileKind kind, const WalkedFile& walked) {
  Head head{};
  head.magic = Head::kMagic;
  head.kind = static_cast<std::uint32_t>(kind);
  PackFacts(walked.facts, head);
  head.places_hash = XXH3_64bits(walked.places.data(), walked.places.size());
  head.head_hash = HashOfHead(head);
  const auto checksums = std::as_bytes(std::span(walked.checksums));
  std::vector<std::byte> bytes(sizeof(head) + walked.places.size() + checksums.size());
  std::memcpy(bytes.data(), &head, sizeof(head));
  const auto end = std::ranges::copy(walked.places, bytes.begin() + sizeof(head)).out;
  std::ranges::copy(checksums, end);
  return bytes;
}

template <class Head>
bool Sidecar::ReadHead(std::span<const std::byte> bytes, std::int64_t base, FileKind kind) {
  Head head;
  if (bytes.size() < sizeof(head)) return false;
  std::memcpy(&head, bytes.data(), sizeof(head));
  if (head.magic != Head::kMagic || head.head_hash != HashOfHead(head) ||
      head.kind != static_cast<std::uint32_t>(kind) || head.count < 0 ||
      head.count > kMostRecordsOfFile) {
    return false;
  }
  places_at_ = base + static_cast<std::int64_t>(sizeof(head));
  kind_ = kind;
  UnpackFacts(head, facts_);
  facts_.outdated = Head::kMagic == OutdatedHead::kMagic;
  places_hash_ = head.places_hash;
  return true;
}

std::optional<Sidecar> Sidecar::Open(std::shared_ptr<const RandomAccessFile> file,
                                     std::int64_t base, FileKind kind) {
  std::array<std::byte, std::max(sizeof(Head), sizeof(OutdatedHead))> bytes;
  const auto head = std::span(bytes).first(file->Read(base, bytes));
  Sidecar sidecar;
  if (!sidecar.ReadHead<Head>(head, base, kind) &&
      !sidecar.ReadHead<OutdatedHead>(head, base, kind)) {
    return std::nullopt;
  }
  sidecar.file_ = std::move(file);
  return sidecar;
}

std::int64_t Sidecar::places_bytes() const {
  return kind_ == FileKind::kTar
             ? (facts_.count + 1) * static_cast<std::int64_t>(sizeof(std::uint32_t))
             : ((facts_.count + kRowsApart - 1) / kRowsApart + 1) *
                   static_cast<std::int64_t>(sizeof(std::uint64_t));
}

std::optional<std::uint64_t> Sidecar::HashOf(std::int64_t first, std::int64_t bytes) const {
  StreamHash hash;
  std::vector<std::byte> buffer(
      static_cast<std::size_t>(std::min<std::int64_t>(bytes, kHashedAtOnce)));
  while (bytes > 0) {
    const auto part = std::span(buffer).first(
        static_cast<std::size_t>(std::min<std::int64_t>(bytes, std::ssize(buffer))));
    if (file_->Read(first, part) < part.size()) return std::nullopt;
    hash.Add(part);
    first += std::ssize(part);
    bytes -= std::ssize(part);
  }
  return hash.Digest();
}

bool Sidecar::IsWhole(bool with_checksums) const {
  if (HashOf(places_at_, places_bytes()) != places_hash_) return false;
  return !with_checksums ||
         (facts_.checksums_hash && HashOf(places_at_ + places_bytes(),
                                          facts_.count * kChecksumBytes) == facts_.checksums_hash);
}

void Sidecar::ReadPlaces(std::int64_t first, std::span<std::byte> out) const {
  if (first < 0 || first > places_bytes() - std::ssize(out)) {
    throw std::out_of_range(fmt::format("{}: no record offset at byte {}", file_->name(), first));
  }
  Read(places_at_ + first, out);
}

void Sidecar::ReadChecksums(std::int64_t first, std::span<std::uint32_t> out) const {
  if (!facts_.checksums_hash || first < 0 || first > facts_.count - std::ssize(out)) {
    throw std::out_of_range(fmt::format("{}: no checksum of record {}", file_->name(), first));
  }
  Read(places_at_ + places_bytes() + first * kChecksumBytes, std::as_writable_bytes(out));
}

void Sidecar::Read(std::int64_t first, std::span<std::byte> out) const {
  if (file_->Read(first, out) < out.size()) {
    throw std::runtime_error(file_->name() + ": truncated; remove it and it will be rebuilt");
  }
}

}  // namespace fastclip
