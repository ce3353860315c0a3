#include "pipeline/shards/tar_scan.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <stdexcept>
#include <unordered_set>

#include "pipeline/base/ascii.h"
#include "pipeline/base/printable.h"
#include "pipeline/files/file.h"
#include "pipeline/files/stream_hash.h"
#include "pipeline/records/picture_format.h"
#include "pipeline/shards/tar_gap.h"

namespace fastclip {
namespace {

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
          fmt::format("{}: compressed ({}), which does not allow random access; decompress it ({}) "
                      "and list the .tar",
                      path, kind.name, kind.tool));
    }
  }
}

[[noreturn]] void ThrowNoTar(const std::string& path, std::int64_t size) {
  const std::size_t dot = path.rfind('.');
  const std::string ending = dot == path.npos ? "" : path.substr(dot);
  if (ending == ".json") {
    throw std::runtime_error(
        path +
        ": not a tar file; save the table as JSON lines, one object per line, in a .jsonl "
        "(pandas: to_json(FILE, orient=\"records\", lines=True))");
  }
  if (ending == ".parquet" || ending == ".xlsx") {
    throw std::runtime_error(path +
                             ": cannot be read; save the table as .csv, .tsv or .jsonl (pandas: "
                             "read_parquet or read_excel, then to_csv)");
  }
  if (ending != ".tar") {
    throw std::runtime_error(
        path +
        ": not a tar file; a list can have .tar shards, .tsv, .csv or .jsonl tables, "
        "or folders of classes");
  }
  throw std::runtime_error(
      fmt::format("{}: not a tar file, or truncated in its first header ({}); fetch it "
                  "again, or leave it out",
                  path, Counted(size, "byte")));
}

std::uint32_t ToBlocks(std::int64_t offset, const std::string& path) {
  const std::int64_t blocks = (offset + kTarBlock - 1) / kTarBlock;
  if (blocks > std::numeric_limits<std::uint32_t>::max()) {
    throw std::runtime_error(path + ": larger than 2 TiB; split it");
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
    end_ = member.data_at + member.stored;
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

TarScan ScanTar(const RandomAccessFile& file) {
  TarScan scan;
  const std::string& path = file.name();
  const std::int64_t size = file.Stamp().size;
  if (size == 0) {
    scan.starts.push_back(0);
    scan.cut = true;
    return scan;
  }
  std::array<std::byte, kTarBlock> block{};
  const auto head = std::span(block).first(file.Read(0, block));
  RefuseCompressed(head, path);
  if (!IsTarHeader(head) && (std::ssize(head) < kTarBlock || !IsZero(head))) ThrowNoTar(path, size);

  Grouping records(scan, path);
  const TarWalk walk = WalkTar(file, [&](const TarMember& member) { records.Add(member); });
  if (walk.headers == 0 && !walk.at_mark) ThrowNoTar(path, size);
  records.Close();
  scan.starts.push_back(ToBlocks(std::min(records.end(), size), path));
  scan.damaged = walk.damaged;
  scan.first_damage = walk.first_damage;
  scan.cut = !walk.at_mark;
  scan.keys_hash = records.keys_hash();
  return scan;
}

}  // namespace fastclip
