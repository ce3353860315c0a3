#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/shards/tar_walk.h"

namespace fastclip {

/// A member's name as WebDataset splits it: "a/b.seg.png" → key "a/b", field "seg.png". The border
/// is the first dot of the base name. Nothing for names that no record has: without a dot,
/// beginning with one, or "__…__" at the top (WebDataset's own metadata). Keys are labels, never
/// paths: "../x" is fine.
struct MemberName {
  std::string_view key;
  std::string_view field;
};
std::optional<MemberName> SplitMemberName(std::string_view path);

/// What a member can be to a record, by its field, in any case.
enum class Role : std::uint8_t { kOther, kImage, kCaption, kLabel, kMetadata };
/// jpg jpeg png webp gif bmp, wanted or not | txt | cls | json.
Role RoleOf(std::string_view field);

/// Where the records of a shard lie: adjacent members with one key, until one of their fields comes
/// again.
struct TarScan {
  /// In blocks: record i is [starts[i], starts[i+1]); one more than there are records.
  std::vector<std::uint32_t> starts;
  /// Records without an image of any format, or without a member that may hold a caption or a label
  /// (.txt, .json, .cls): signs that the members of one lie apart.
  std::int64_t incomplete = 0;
  /// Blocks in which members may have been lost, as TarWalk has them.
  std::int64_t damaged = 0;
  ByteRange first_damage;
  /// The file ends without the mark that closes a tar: it was probably cut.
  bool cut = false;
  /// The XXH3 of the keys of the records, in their order.
  std::uint64_t keys_hash = 0;

  std::int64_t records() const { return static_cast<std::int64_t>(starts.size()) - 1; }
};

/// Walks the headers of a shard. Throws std::runtime_error that names the shard and says what to do
/// if it is no tar, is compressed, or cannot be read. An empty file is a shard cut at its start.
TarScan ScanTar(const RandomAccessFile& file);

}  // namespace fastclip
