#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/shards/sidecar.h"

namespace fastclip {

/// What a manifest tells of one file of a list.
struct ManifestEntry : FileFacts {
  std::string name;  ///< relative to the folder that holds all files of the list
};

/// The files of a list in their order, with how many records each holds: O(files) of memory and of
/// disk. Where the records lie is in the files' sidecars.
///
/// The file, little-endian: a head of 40 bytes ("FCLIPMF4", kind and number of entries as uint32,
/// the entries' bytes, their XXH3, the XXH3 of the head up to here), then the entries: size, time
/// (ns), count, incomplete, damaged, begin and end of the first damage, content hash, hash of the
/// checksums, 8 bytes each; flags (1: cut, 2: with checksums) and bytes of the name as uint32; the
/// name. One of an earlier format is made again.
class Manifest {
 public:
  /// Of no files.
  Manifest() : Manifest(std::vector<ManifestEntry>()) {}
  explicit Manifest(std::vector<ManifestEntry> entries);
  /// Nothing if the file is missing, is another kind's, or is damaged.
  static std::optional<Manifest> Open(const std::string& path, FileKind kind);
  /// Whether a file is a manifest of any kind or age, be it a damaged one.
  static bool IsOne(const std::string& path);

  const std::vector<ManifestEntry>& entries() const { return entries_; }
  /// Identity of the data: names, their order, counts and content hashes.
  std::uint64_t hash() const { return hash_; }
  /// What the file holds. Throws std::runtime_error for more than 1 GiB of names.
  std::vector<std::byte> Pack(FileKind kind) const;

 private:
  std::vector<ManifestEntry> entries_;
  std::uint64_t hash_;
};

}  // namespace fastclip
