#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/shards/sidecar.h"

namespace fastclip {

/// A manifest's entry for one file of a list.
struct ManifestEntry : FileFacts {
  std::string name;  ///< relative to the folder that holds all files of the list
};

/// The files of a list in order, with their record counts: O(files) memory and disk. The record
/// positions are in the files' sidecars.
///
/// The file, little-endian: a head of 40 bytes ("FCLIPMF4", kind and number of entries as uint32,
/// the entries' bytes, their XXH3, the XXH3 of the head up to here), then the entries: size, time
/// (ns), count, incomplete, damaged, begin and end of the first damage, content hash, hash of the
/// checksums, 8 bytes each; flags (1: cut, 2: with checksums) and bytes of the name as uint32; the
/// name. A manifest in an earlier format is rebuilt.
class Manifest {
 public:
  /// An empty manifest.
  Manifest() : Manifest(std::vector<ManifestEntry>()) {}
  explicit Manifest(std::vector<ManifestEntry> entries);
  /// Nothing if the file is missing, of another kind, or damaged.
  static std::optional<Manifest> Open(const std::string& path, FileKind kind);
  /// Whether a file is a manifest of any kind or version, even a damaged one.
  static bool IsOne(const std::string& path);

  const std::vector<ManifestEntry>& entries() const { return entries_; }
  /// Identity of the data: a hash of names, their order, counts and content hashes.
  std::uint64_t hash() const { return hash_; }
  /// The content of the manifest file. Throws std::runtime_error for more than 1 GiB of names.
  std::vector<std::byte> Pack(FileKind kind) const;

 private:
  std::vector<ManifestEntry> entries_;
  std::uint64_t hash_;
};

}  // namespace fastclip
