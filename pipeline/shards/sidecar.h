#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "pipeline/base/byte_range.h"
#include "pipeline/base/suggested_command.h"
#include "pipeline/files/random_access_file.h"

namespace fastclip {

/// How a file was scanned. A table with non-default keys has its own kind (TableSource::KindOf),
/// since its rows can differ. 2 was a table with earlier rules.
enum class FileKind : std::uint32_t { kTar = 1, kTable = 3 };

/// The results of scanning one file of a list.
struct FileFacts {
  FileStamp stamp;  ///< of the file when it was scanned; another stamp makes the facts stale
  std::int64_t count = 0;
  /// Records without an image or a caption; in a table also without a label, if labels are needed.
  std::int64_t incomplete = 0;
  /// For a tar: blocks where members may be lost, and the position of the first ones. For a table:
  /// invalid rows.
  std::int64_t damaged = 0;
  ByteRange first_damage;
  /// The tar has no end-of-archive mark, or the table ends within quotes.
  bool cut = false;
  /// Hash of a table's bytes, or of the keys of a tar's records (not all bytes of a tar are read):
  /// a record that is repaired and keeps its key is the same sample.
  std::uint64_t content_hash = 0;
  /// The XXH3 of the checksums of its records, if there are any.
  std::optional<std::uint64_t> checksums_hash;
  /// From a sidecar in an earlier format, whose scan stopped earlier: its checksums are valid, the
  /// rest must be scanned again.
  bool outdated = false;

  /// Whether both describe the same file at the same time, so that checksums can be shared.
  bool IsOfSameFile(const FileFacts& other) const {
    return stamp == other.stamp && count == other.count && content_hash == other.content_hash;
  }
};
/// Maximum records in one file; more is taken as damage.
inline constexpr std::int64_t kMostRecordsOfFile = std::int64_t{1} << 40;

/// Throws std::runtime_error with the file if `now` would assign a SampleIndex to another record:
/// another number of records, other keys or, for a table, other bytes. A copy with another time is
/// fine.
/// `index_again`: the command that does so.
void RequireSameRecords(
    const std::string& path, const FileFacts& before, const FileFacts& now,
    const std::string& index_again =
        SuggestedCommand("shards index on the list (with the same --manifest and table options)"));

/// The result of a scan.
struct WalkedFile {
  FileFacts facts;
  /// For a tar: count+1 positions as uint32 in blocks of 512 bytes; the last one is the end of the
  /// last record. For a table, as uint64: the byte of every kRowsApart-th row, and the table's
  /// size.
  std::vector<std::byte> places;
  std::vector<std::uint32_t> checksums;  ///< one per record, or none
};
inline constexpr std::int64_t kRowsApart = 64;

/// The checksum of the bytes between a record's place and the next: the low half of their XXH3. It
/// misses one change in 4 billion and takes 4 bytes per record, as much as its position.
std::uint32_t RecordChecksum(std::uint64_t xxh3);

/// Sets the hash of the checksums in the facts.
void SealChecksums(WalkedFile& walked);

/// The sidecar file with the results of a scan, shared by every list that has the scanned file.
/// Little-endian:
///
///   "FCLIPSC3", kind and flags (1: cut, 2: with checksums) as uint32; size, time (ns), count,
///   incomplete, damaged, begin and end of the first damage, content hash, XXH3 of the places, XXH3
///   of the checksums, XXH3 of the head up to here, 8 bytes each; the places; the checksums, if
///   any, as uint32
///
/// "FCLIPSC2" had no begin and end of damage; only its checksums are used.
std::vector<std::byte> PackSidecar(FileKind kind, const WalkedFile& walked);

/// An open sidecar; positions are read on demand. Thread-safe.
class Sidecar {
 public:
  /// The sidecar at byte `base` of `file`; nothing if its head is damaged or of another kind.
  static std::optional<Sidecar> Open(std::shared_ptr<const RandomAccessFile> file,
                                     std::int64_t base, FileKind kind);

  const FileFacts& facts() const { return facts_; }
  /// Whether positions, and checksums if requested, are intact. Reads all of them.
  bool IsWhole(bool with_checksums) const;
  /// Reads the bytes of the positions from `first` on. Throws std::out_of_range past the end,
  /// std::runtime_error if the file is truncated.
  void ReadPlaces(std::int64_t first, std::span<std::byte> out) const;
  /// Reads the checksums from record `first` on. Throws std::out_of_range past the end,
  /// std::runtime_error if the file is truncated.
  void ReadChecksums(std::int64_t first, std::span<std::uint32_t> out) const;

 private:
  Sidecar() = default;
  /// Reads a head of that format.
  template <class Head>
  bool ReadHead(std::span<const std::byte> bytes, std::int64_t base, FileKind kind);
  std::int64_t places_bytes() const;
  /// The XXH3 of a range; nothing if the file is shorter.
  std::optional<std::uint64_t> HashOf(std::int64_t first, std::int64_t bytes) const;
  void Read(std::int64_t first, std::span<std::byte> out) const;

  std::shared_ptr<const RandomAccessFile> file_;
  std::int64_t places_at_ = 0;
  FileKind kind_{};
  FileFacts facts_;
  std::uint64_t places_hash_ = 0;
};

}  // namespace fastclip
