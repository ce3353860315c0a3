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

/// Throws std::invalid_argument unless `field` is a field of the records' metadata: "json.NAME" or
/// "json.A.B".
void CheckKeyField(const std::string& field);

/// Integer keys that another program uses for the records of a list, for example "json.key" in
/// their metadata, by which the published FastCLIP code stores its estimators. A column SampleIndex
/// → key; it does not affect the order or state of a run.
///
/// Each part of the list has a file MANIFEST.keys next to its manifest or, if that cannot be
/// written, in SourceOptions::manifest_fallback_dir. It is built by reading all records once, and
/// rebuilt if the field or one of the part's files changes. Little-endian: one key per record as
/// int64, -1 for none, -2 - the number of its Skip if it cannot be read; "FCLIPKY2", a hash of its
/// inputs, the XXH3 of the keys, the XXH3 of these 24 bytes, 8 bytes each. If no file can be
/// written, the column is kept in memory.
class RecordKeys {
 public:
  /// The largest valid key.
  static constexpr std::int64_t kMostKey = (std::int64_t{1} << 33) - 1;

  /// `field` is "json.NAME" ("json.A.B": B in A) with an integer >= 0, also as a string; otherwise
  /// the record has no key. `progress` gets the number of records read and their total. Throws
  /// std::runtime_error for two records with the same key, a key above kMostKey, a field that no
  /// record has, a missing shard that must be read, and what OpenSource throws.
  RecordKeys(const std::string& list, const std::string& field, const SourceOptions& options,
             const std::function<void(std::int64_t, std::int64_t)>& progress = {});

  std::int64_t size() const { return size_; }
  /// RecordSource::hash() of the data that has these keys.
  std::uint64_t data_hash() const { return data_hash_; }
  /// Whether all keys are stored in files for later use.
  bool is_kept() const;
  /// The largest key.
  std::int64_t largest() const { return largest_; }
  /// Number of records without a key.
  std::int64_t without_key() const { return without_key_; }
  /// Why records have no key: kNoLabel for a missing field, kBadLabel, kBadJson, kTooLarge.
  const SkipCounts& without() const { return without_; }
  /// The keys of the records from `first` on, -1 for none. Throws std::out_of_range past the end.
  void Read(SampleIndex first, std::span<std::int64_t> out) const;
  /// The records with these keys, key → index. Reads the whole column.
  std::map<std::int64_t, std::int64_t> Find(std::span<const std::int64_t> keys) const;

 private:
  struct Part {
    std::int64_t first = 0;
    std::int64_t count = 0;
    std::string path;  // of the file
    std::shared_ptr<const RandomAccessFile> file;
    std::vector<std::int64_t> kept{};  // if there is no file
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
