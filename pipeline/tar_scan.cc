#include "pipeline/tar_scan.h"

#include <archive.h>
#include <archive_entry.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <exception>
#include <limits>
#include <memory>
#include <stdexcept>
#include <unordered_set>

#include "pipeline/ascii.h"
#include "pipeline/file.h"
#include "pipeline/picture_format.h"
#include "pipeline/stream_hash.h"

namespace fastclip {
namespace {

struct ArchiveDeleter {
  void operator()(archive* a) const { archive_read_free(a); }
};
using ArchivePtr = std::unique_ptr<archive, ArchiveDeleter>;

ArchivePtr NewTarReader() {
  ArchivePtr reader(archive_read_new());
  if (reader == nullptr || archive_read_support_format_tar(reader.get()) != ARCHIVE_OK) {
    throw std::bad_alloc();
  }
  return reader;
}

/// What libarchive reads from. No exception may cross its C frames: one is kept, then thrown again.
struct FileInput {
  int fd;
  const std::string& path;
  std::int64_t size;
  std::int64_t at = 0;
  std::exception_ptr failure;
  // Headers are far apart: a large buffer would read the images between them.
  std::array<std::byte, 4096> buffer;
};

la_ssize_t ReadInput(archive*, void* data, const void** buffer) {
  FileInput& input = *static_cast<FileInput*>(data);
  try {
    const std::size_t got = ReadAt(input.fd, input.at, input.buffer, input.path);
    input.at += static_cast<std::int64_t>(got);
    *buffer = input.buffer.data();
    return static_cast<la_ssize_t>(got);
  } catch (...) {
    input.failure = std::current_exception();
    return ARCHIVE_FATAL;
  }
}

la_int64_t SkipInput(archive*, void* data, la_int64_t request) {
  FileInput& input = *static_cast<FileInput*>(data);
  const std::int64_t skipped =
      std::clamp<std::int64_t>(request, 0, std::max<std::int64_t>(0, input.size - input.at));
  input.at += skipped;
  return skipped;
}

std::string_view PathOf(archive_entry* entry) {
  const char* path = archive_entry_pathname(entry);
  if (path == nullptr) path = archive_entry_pathname_utf8(entry);
  return path == nullptr ? std::string_view() : std::string_view(path);
}

struct WalkEnd {
  std::int64_t damaged = 0;  ///< blocks passed over because they are no header
  bool at_mark_or_end = false;
};

/// Visits the members of an opened archive.
template <class Visit>
WalkEnd Walk(archive* reader, const Visit& visit) {
  // A size from outside; kept where sums with offsets cannot overflow.
  static constexpr std::int64_t kMaxSize = std::int64_t{1} << 60;
  WalkEnd end;
  archive_entry* entry = nullptr;
  for (;;) {
    const int result = archive_read_next_header(reader, &entry);
    if (result == ARCHIVE_EOF || result == ARCHIVE_FATAL) {
      end.at_mark_or_end = result == ARCHIVE_EOF;
      return end;
    }
    if (result == ARCHIVE_RETRY) {
      ++end.damaged;
      continue;
    }
    if (archive_entry_filetype(entry) != AE_IFREG || archive_entry_hardlink(entry) != nullptr ||
        archive_entry_sparse_count(entry) > 0) {
      continue;
    }
    TarMember member;
    member.header_at = archive_read_header_position(reader);
    member.data_at = archive_filter_bytes(reader, 0);
    member.size = std::clamp<std::int64_t>(archive_entry_size(entry), 0, kMaxSize);
    member.path = PathOf(entry);
    visit(member);
  }
}

/// Throws if the first bytes of a file show that it cannot be read as a tar.
void RefuseCompressed(std::span<const std::byte> head, const std::string& path) {
  struct Kind {
    std::string_view magic, name, tool;
  };
  static constexpr Kind kKinds[] = {{"\x1f\x8b", "gzip", "gunzip"},
                                    {"\x28\xb5\x2f\xfd", "zstd", "unzstd"},
                                    {"\xfd"
                                     "7zXZ",
                                     "xz", "unxz"},
                                    {"BZh", "bzip2", "bunzip2"},
                                    {"\x04\x22\x4d\x18", "lz4", "unlz4"}};
  const std::string_view text(reinterpret_cast<const char*>(head.data()), head.size());
  for (const Kind& kind : kKinds) {
    if (text.starts_with(kind.magic)) {
      throw std::runtime_error(
          fmt::format("{}: compressed ({}), so its records cannot be read at random; decompress it "
                      "({}) and list the .tar",
                      path, kind.name, kind.tool));
    }
  }
}

[[noreturn]] void ThrowNoTar(const std::string& path, std::int64_t size) {
  throw std::runtime_error(fmt::format(
      "{}: no tar file, or cut inside its first header ({} bytes); fetch it again, or leave it out",
      path, size));
}

bool IsZero(std::span<const std::byte> bytes) {
  return std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0}; });
}

std::uint32_t ToBlocks(std::int64_t offset, const std::string& path) {
  const std::int64_t blocks = (offset + kTarBlock - 1) / kTarBlock;
  if (blocks > std::numeric_limits<std::uint32_t>::max()) {
    throw std::runtime_error(path + ": a shard of over 2 TiB; split it");
  }
  return static_cast<std::uint32_t>(blocks);
}

/// Cuts the walk's members into records.
class Grouping {
 public:
  Grouping(TarScan& scan, const std::string& shard) : scan_(scan), shard_(shard) {}

  void Add(const TarMember& member) {
    const std::optional<MemberName> name = SplitMemberName(member.path);
    if (!name) return;
    std::string field(name->field);
    std::ranges::transform(field, field.begin(), LowerAscii);
    if (scan_.starts.empty() || name->key != key_ || fields_.contains(field)) {
      Close();
      scan_.starts.push_back(ToBlocks(member.header_at, shard_));
      key_ = name->key;
      const auto length = static_cast<std::int64_t>(key_.size());
      keys_.Add(std::as_bytes(std::span(&length, 1)));
      keys_.Add(std::as_bytes(std::span(key_)));
      fields_.clear();
      has_image_ = has_caption_ = false;
    }
    const Role role = RoleOf(field);
    has_image_ |= role == Role::kImage;
    // Headers do not tell whether a .json holds captions; it may.
    has_caption_ |= role == Role::kCaption || role == Role::kMetadata || role == Role::kLabel;
    fields_.insert(std::move(field));
    end_ = member.data_at + member.size;
  }

  void Close() {
    if (!scan_.starts.empty() && !(has_image_ && has_caption_)) ++scan_.incomplete;
  }

  /// Behind the last record's last byte.
  std::int64_t end() const { return end_; }
  std::uint64_t keys_hash() const { return keys_.Digest(); }

 private:
  TarScan& scan_;
  const std::string& shard_;
  std::string key_;
  std::unordered_set<std::string> fields_;
  bool has_image_ = false, has_caption_ = false;
  std::int64_t end_ = 0;
  StreamHash keys_;
};

}  // namespace

std::optional<MemberName> SplitMemberName(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  const std::size_t base = slash == std::string_view::npos ? 0 : slash + 1;
  const std::size_t dot = path.find('.', base);
  if (dot == std::string_view::npos || dot == base) return std::nullopt;
  if (base == 0 && path.starts_with("__") && path.ends_with("__")) return std::nullopt;
  return MemberName{path.substr(0, dot), path.substr(dot + 1)};
}

Role RoleOf(std::string_view field) {
  if (FormatOfExtension(field)) return Role::kImage;
  static constexpr std::pair<std::string_view, Role> kRoles[] = {
      {"txt", Role::kCaption}, {"cls", Role::kLabel}, {"json", Role::kMetadata}};
  for (const auto& [name, role] : kRoles) {
    if (EqualsInAnyCase(field, name)) return role;
  }
  return Role::kOther;
}

void WalkTar(std::span<const std::byte> bytes, const std::function<void(const TarMember&)>& visit) {
  if (bytes.size() < static_cast<std::size_t>(kTarBlock)) return;
  const ArchivePtr reader = NewTarReader();
  if (archive_read_open_memory(reader.get(), bytes.data(), bytes.size()) == ARCHIVE_OK) {
    Walk(reader.get(), visit);
  }
}

TarScan ScanTar(int fd, const std::string& path) {
  TarScan scan;
  FileInput input{fd, path, StampOf(fd, path).size, 0, nullptr, {}};
  if (input.size == 0) {
    scan.starts.push_back(0);
    scan.cut = true;
    return scan;
  }
  std::array<std::byte, kTarBlock> block{};
  const std::size_t head = ReadAt(fd, 0, block, path);
  RefuseCompressed(std::span(block).first(head), path);

  const ArchivePtr reader = NewTarReader();
  if (archive_read_open2(reader.get(), &input, nullptr, ReadInput, SkipInput, nullptr) !=
      ARCHIVE_OK) {
    if (input.failure) std::rethrow_exception(input.failure);
    ThrowNoTar(path, input.size);
  }
  Grouping records(scan, path);
  const WalkEnd end = Walk(reader.get(), [&](const TarMember& member) { records.Add(member); });
  if (input.failure) std::rethrow_exception(input.failure);
  if (archive_format(reader.get()) == 0) ThrowNoTar(path, input.size);
  records.Close();
  scan.starts.push_back(ToBlocks(std::min(records.end(), input.size), path));
  scan.damaged = end.damaged;
  scan.keys_hash = records.keys_hash();

  // libarchive takes the end of the file for an end of the tar; only blocks of zeros are one.
  const std::int64_t at = archive_filter_bytes(reader.get(), 0);
  scan.cut = !end.at_mark_or_end || at < kTarBlock ||
             ReadAt(fd, at - kTarBlock, block, path) < block.size() || !IsZero(block);
  return scan;
}

}  // namespace fastclip
