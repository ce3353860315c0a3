#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "pipeline/file.h"

namespace fastclip {

/// What a manifest tells of one file of a list.
struct ManifestEntry {
  std::string name;  ///< relative to the folder that holds all files of the list
  FileStamp stamp;   ///< of the file when it was walked; another one makes the entry stale
  std::int64_t count = 0;
  /// Records without an image or without a caption (tar); rows that cannot be read (table).
  std::int64_t incomplete = 0;
  /// Blocks passed over because they are damaged.
  std::int64_t damaged = 0;
  bool cut = false;  ///< ends without the mark that closes a tar
  std::uint64_t content_hash =
      0;  ///< of a table's bytes; 0 for a tar, whose bytes are not all read
  /// Where the places of its records lie in the manifest.
  std::int64_t block_at = 0;
  std::int64_t block_bytes = 0;
  std::uint64_t block_hash = 0;
};

enum class ManifestKind : std::uint32_t { kTar = 1, kTable = 2 };

/// A manifest, opened: O(files) of memory, the places of records are read when they are asked for.
///
/// The file, little-endian: a head of 64 bytes ("FCLIPMF1", kind, number of entries, where the
/// entries begin, their bytes, their XXH3, the hash of the data, the XXH3 of the head), then blocks
/// of places, then the entries. A tar's block holds count+1 places as uint32 in units of 512 bytes;
/// a table's holds, as uint64, the byte of every 64th row and the table's size.
class Manifest {
 public:
  /// Nothing if the file is missing, is another kind's, or is damaged in head or entries.
  static std::optional<Manifest> Open(const std::string& path, ManifestKind kind);
  /// Whether a file is a manifest of any kind, be it a damaged one.
  static bool IsOne(const std::string& path);

  const std::vector<ManifestEntry>& entries() const { return entries_; }
  /// Identity of the data: names, their order, counts, and content hashes where there are any.
  std::uint64_t hash() const { return hash_; }

  /// The bytes [first, first + out.size()) of an entry's block; false if the file has no such
  /// bytes.
  bool ReadBlock(const ManifestEntry& entry, std::int64_t first, std::span<std::byte> out) const;
  /// The whole block, if it is what was written.
  std::optional<std::vector<std::byte>> ReadWholeBlock(const ManifestEntry& entry) const;

 private:
  friend class ManifestWriter;
  std::string path_;
  UniqueFd fd_;
  std::vector<ManifestEntry> entries_;
  std::uint64_t hash_ = 0;
};

/// Writes a manifest: blocks in any order, then the entries.
class ManifestWriter {
 public:
  /// Throws std::system_error where PATH's folder cannot be written.
  ManifestWriter(const std::string& path, ManifestKind kind);
  /// Fills in the place and the hash of the entry's block.
  void AddBlock(ManifestEntry& entry, std::span<const std::byte> block);
  /// The manifest under its name, opened.
  Manifest Finish(std::vector<ManifestEntry> entries);

 private:
  std::string path_;
  ManifestKind kind_;
  AtomicFile file_;
};

}  // namespace fastclip
