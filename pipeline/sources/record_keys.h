#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "pipeline/files/file.h"
#include "pipeline/records/record_source.h"

namespace fastclip {

/// Throws std::invalid_argument, with the reason, where `field` is no field of records' metadata:
/// "json.NAME" or "json.A.B".
void CheckKeyField(const std::string& field);

/// The integers under which another program knows the records of a list: what lies at "json.key" in
/// their metadata, say, by which the published FastCLIP code keeps its estimators. A column
/// SampleIndex → key; order and state of a run know nothing of it.
///
/// Each part of the list has a file MANIFEST.keys beside its manifest, or where that cannot be
/// written in SourceOptions::manifest_fallback_dir: made by reading all records once, and again
/// where the field or one of the part's files is another. Little-endian: a key a record as int64,
/// -1 for none, -2 - the number of its Skip where it cannot be read; "FCLIPKY2", what it was made
/// of, the XXH3 of the keys, the XXH3 of these 24 bytes, 8 bytes each. Where no file can be written
/// the column lasts as long as this.
class RecordKeys {
 public:
  /// More is taken for no index of a table.
  static constexpr std::int64_t kMostKey = (std::int64_t{1} << 33) - 1;

  /// `field` is "json.NAME" ("json.A.B": B in A), a whole number of 0 or more or the text of one;
  /// where it is none, the record has no key. `progress` is told how many of how many records have
  /// been read. Throws std::runtime_error: records that share a key, naming two of them; a key past
  /// kMostKey; a field that no record has; a shard that is gone while it must be read; what
  /// OpenSource throws.
  RecordKeys(const std::string& list, const std::string& field, const SourceOptions& options,
             const std::function<void(std::int64_t, std::int64_t)>& progress = {});

  std::int64_t size() const { return size_; }
  /// RecordSource::hash() of the records that have these keys.
  std::uint64_t data_hash() const { return data_hash_; }
  /// Whether all of it is in files that the next one finds.
  bool is_kept() const;
  /// The largest key.
  std::int64_t largest() const { return largest_; }
  /// Records that have none.
  std::int64_t without_key() const { return without_key_; }
  /// Why they have none: kNoLabel for no such field, kBadLabel, kBadJson, kTooLarge.
  const SkipCounts& without() const { return without_; }
  /// The keys of the records from `first` on, -1 for none. Throws std::out_of_range past the end.
  void Read(SampleIndex first, std::span<std::int64_t> out) const;
  /// The records that have these keys, key → index. Reads the whole column.
  std::map<std::int64_t, std::int64_t> Find(std::span<const std::int64_t> keys) const;

 private:
  struct Part {
    std::int64_t first = 0;
    std::int64_t count = 0;
    std::string path;  // of the file
    std::shared_ptr<const RandomAccessFile> file;
    std::vector<std::int64_t> kept{};  // where there is no file
  };
  class Maker;
  void LookThrough(const std::string& list, const std::string& field, const RecordSource& source);
  void ReadRaw(SampleIndex first, std::span<std::int64_t> out) const;
  template <class Visit>
  void ForEach(const Visit& visit) const;

  std::vector<Part> parts_;
  std::uint64_t data_hash_ = 0;
  std::int64_t size_ = 0;
  std::int64_t largest_ = -1;
  std::int64_t without_key_ = 0;
  SkipCounts without_{};
};

}  // namespace fastclip
