#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/shards/tar_walk.h"

namespace fastclip {

/// Splits a member's name like WebDataset: "a/b.seg.png" → key "a/b", field "seg.png", at the first
/// dot of the base name. Nothing for names outside of records: without a dot, beginning with one,
/// or "__…__" at the top level (WebDataset's own metadata). Keys are never used as paths: "../x" is
/// fine.
struct MemberName {
  std::string_view key;
  std::string_view field;
};
std::optional<MemberName> SplitMemberName(std::string_view path);

/// The role of a member in a record, by its field (case-insensitive).
enum class Role : std::uint8_t { kOther, kImage, kCaption, kLabel, kMetadata };
/// jpg jpeg png webp gif bmp, enabled or not | txt | cls | json.
Role RoleOf(std::string_view field);

/// The positions of a shard's records: adjacent members with one key, until a field repeats.
struct TarScan {
  /// In blocks: record i is [starts[i], starts[i+1]); has one more entry than there are records.
  std::vector<std::uint32_t> starts;
  /// Records without an image of any format, or without a member that can hold a caption or label
  /// (.txt, .json, .cls): a sign that members of a record are not adjacent.
  std::int64_t incomplete = 0;
  /// Blocks where members may be lost, as in TarWalk.
  std::int64_t damaged = 0;
  ByteRange first_damage;
  /// The file has no end-of-archive mark: it is probably truncated.
  bool cut = false;
  /// The XXH3 of the records' keys, in order.
  std::uint64_t keys_hash = 0;

  std::int64_t records() const { return static_cast<std::int64_t>(starts.size()) - 1; }
};

/// Scans the headers of a shard. Throws std::runtime_error with the shard and what to do if it is
/// not a tar, is compressed, or cannot be read. An empty file is a shard truncated at its start.
TarScan ScanTar(const RandomAccessFile& file);

}  // namespace fastclip
