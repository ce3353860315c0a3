#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "pipeline/base/byte_range.h"
#include "pipeline/files/random_access_file.h"

namespace fastclip {

/// What a file was walked as. A table that is read in another way than by default has a kind of its
/// own (TableSource::KindOf), for its rows may be others. 2 was a table by earlier rules.
enum class FileKind : std::uint32_t { kTar = 1, kTable = 3 };

/// What a walk through one file of a list tells of it as a whole.
struct FileFacts {
  FileStamp stamp;  ///< of the file when it was walked; another one makes the facts stale
  std::int64_t count = 0;
  /// Records without an image or without a caption; of a table also those without a label, where
  /// that is wanted.
  std::int64_t incomplete = 0;
  /// Of a tar: blocks in which members may have been lost, and where the first of them lie. Of a
  /// table: rows that do not fit.
  std::int64_t damaged = 0;
  ByteRange first_damage;
  /// Ends without the mark that closes a tar, or within the quotes of a table.
  bool cut = false;
  /// Of a table's bytes; of the keys of a tar's records, whose bytes are not all read: what is
  /// mended under its old key is the same sample.
  std::uint64_t content_hash = 0;
  /// The XXH3 of the checksums of its records, where they were taken.
  std::optional<std::uint64_t> checksums_hash;
  /// Of a sidecar in an earlier format, whose walk stopped where this one goes on: its checksums
  /// hold, the rest is to be found again.
  bool outdated = false;

  /// Whether both are of one file at one time, so that the checksums of one hold for the other.
  bool IsOfSameFile(const FileFacts& other) const {
    return stamp == other.stamp && count == other.count && content_hash == other.content_hash;
  }
};
/// More records than this in one file are taken for damage.
inline constexpr std::int64_t kMostRecordsOfFile = std::int64_t{1} << 40;

/// Throws std::runtime_error that names the file where `now` would give a SampleIndex to another
/// record: it holds another number of them, other keys or, as a table, other bytes. A copy with
/// another time is no other file.
void RequireSameRecords(const std::string& path, const FileFacts& before, const FileFacts& now);

/// What a walk found.
struct WalkedFile {
  FileFacts facts;
  /// Of a tar: count+1 places as uint32 in blocks of 512 bytes, the last one behind the last
  /// record. Of a table, as uint64: the byte of every kRowsApart-th row, and the table's size.
  std::vector<std::byte> places;
  std::vector<std::uint32_t> checksums;  ///< one a record, or none
};
inline constexpr std::int64_t kRowsApart = 64;

/// The checksum of the bytes between a record's place and the next: the low half of their XXH3. A
/// change goes unseen once in 4 billion times, and 4 bytes a record are no more than its place.
std::uint32_t RecordChecksum(std::uint64_t xxh3);

/// Puts the hash of the checksums among the facts.
void SealChecksums(WalkedFile& walked);

/// The sidecar of a walked file: what was found, in a file of its own, so that every list that
/// names the file shares it. Little-endian:
///
///   "FCLIPSC3", kind and flags (1: cut, 2: with checksums) as uint32; size, time (ns), count,
///   incomplete, damaged, begin and end of the first damage, content hash, XXH3 of the places, XXH3
///   of the checksums, XXH3 of the head up to here, 8 bytes each; the places; the checksums, if
///   any, as uint32
///
/// "FCLIPSC2" had no begin and end of damage: it is read for its checksums.
std::vector<std::byte> PackSidecar(FileKind kind, const WalkedFile& walked);

/// A sidecar, opened: the places are read when they are asked for. Thread-safe.
class Sidecar {
 public:
  /// The one that begins at byte `base` of `file`; nothing where its head is damaged or tells of
  /// another kind.
  static std::optional<Sidecar> Open(std::shared_ptr<const RandomAccessFile> file,
                                     std::int64_t base, FileKind kind);

  const FileFacts& facts() const { return facts_; }
  /// Whether places, and checksums if asked for, are what was written. Reads them all.
  bool IsWhole(bool with_checksums) const;
  /// The bytes of the places from `first` on; throws std::runtime_error where there are fewer.
  void ReadPlaces(std::int64_t first, std::span<std::byte> out) const;
  /// The checksums from record `first` on; throws std::runtime_error where there are fewer.
  void ReadChecksums(std::int64_t first, std::span<std::uint32_t> out) const;

 private:
  Sidecar() = default;
  /// Opens what has the head of that format.
  template <class Head>
  bool ReadHead(std::span<const std::byte> bytes, std::int64_t base, FileKind kind);
  std::int64_t places_bytes() const;
  /// The XXH3 of a range that is all there.
  std::optional<std::uint64_t> HashOf(std::int64_t first, std::int64_t bytes) const;
  void Read(std::int64_t first, std::span<std::byte> out) const;

  std::shared_ptr<const RandomAccessFile> file_;
  std::int64_t places_at_ = 0;
  FileKind kind_{};
  FileFacts facts_;
  std::uint64_t places_hash_ = 0;
};

}  // namespace fastclip
