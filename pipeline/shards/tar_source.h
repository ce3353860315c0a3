#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/files/file_cache.h"
#include "pipeline/records/record_source.h"
#include "pipeline/shards/index_files.h"
#include "pipeline/shards/record_places.h"
#include "pipeline/shards/tar_records.h"

namespace fastclip {

/// The records of a set of tar shards, by SampleIndex.
///
/// Adjacent members with the same name up to the first dot form one record. Its image is the first
/// of .jpg, .png, .jpeg, .webp and, if enabled in SourceOptions::formats, .gif, .bmp. Its captions
/// are the list "captions" of its .json, else its .txt, else the string "caption" of the .json, or
/// those in SourceOptions::captions. Its label is .cls, or with SourceOptions::labels a field of
/// its .json. A record without image or caption stays, with its Skip, so that SampleIndex does not
/// shift. Captions are trimmed by BlockBuilder::AddTrimmedCaption; a .txt can have one per line
/// (SourceOptions::caption_lines). With SourceOptions::verify_checksums, a record whose bytes
/// changed since its checksum was taken is Skip::kChanged.
class TarSource final : public RecordSource {
 public:
  /// Scans one shard for IndexFiles.
  static WalkedFile Walk(const RandomAccessFile& file, bool checksums);

  /// Throws std::runtime_error for label keys that are only for tables.
  TarSource(IndexedFiles files, const SourceOptions& options);

  std::int64_t size() const override { return first_index_.back(); }
  RecordBlock Read(SampleIndex first, int count, std::stop_token stop) const override;
  StoredRecord ReadStored(SampleIndex index, std::stop_token stop) const override;
  void ReadAhead(SampleIndex first, int count) const override;
  RecordOrigin OriginOf(SampleIndex index) const override;
  std::vector<std::string> FieldsOf(SampleIndex index) const override;
  std::int64_t texts_of_several_lines() const override { return several_lines_; }
  std::uint64_t hash() const override { return files_.manifest.hash(); }
  /// A warning if records lack an image, or a caption or label. If all do, some are read to say
  /// what is missing.
  std::vector<std::string> Findings() const;

 private:
  /// The shard that holds a record.
  std::size_t ShardOf(std::int64_t index) const;
  struct OpenedShard {
    std::shared_ptr<const RandomAccessFile> file;
    std::shared_ptr<const Sidecar> places;
  };
  /// Opens the shard and its matching sidecar; nothing if the shard is missing. Throws
  /// std::runtime_error with the shard if its records changed since it was indexed.
  OpenedShard OpenShard(std::size_t shard) const;
  /// Calls `piece(shard, first place in it, count)` for each shard of the records.
  template <class Piece>
  void ForEachShard(SampleIndex first, int count, const Piece& piece) const;
  void AddFromShard(std::size_t shard, std::int64_t place, std::int64_t count,
                    const std::stop_token& stop, class BlockBuilder& builder,
                    StoredRecord* stored = nullptr) const;

  const IndexedFiles files_;
  const std::int64_t max_record_bytes_;
  const WantedFields wanted_;
  const bool verify_;
  std::vector<std::int64_t> first_index_;  // of each shard; at the end the size of the source
  mutable FileCache shards_;
  mutable std::atomic<std::int64_t> several_lines_ = 0;
  const RecordPlaces places_;  // of files_
};

}  // namespace fastclip
