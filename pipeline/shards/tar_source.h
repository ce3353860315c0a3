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
/// Adjacent members that share a name up to the first dot make one record: its image is the first
/// there is of .jpg, .png, .jpeg, .webp, and where SourceOptions::formats has them .gif, .bmp; its
/// captions all of the list "captions" of its .json, else its .txt, else the text "caption" of the
/// .json, or what SourceOptions::captions names; its label .cls, or with SourceOptions::labels a
/// field of its .json. A record without image or caption is still there, with its Skip, so that
/// places in the shard, and with them SampleIndex, stay true. Captions as
/// BlockBuilder::AddTrimmedCaption gives them, of a .txt also one a line
/// (SourceOptions::caption_lines). With SourceOptions::verify_checksums, a record whose
/// bytes are others than when its checksum was taken is Skip::kChanged.
class TarSource final : public RecordSource {
 public:
  /// Walks one shard for IndexFiles.
  static WalkedFile Walk(const RandomAccessFile& file, bool checksums);

  /// Throws std::runtime_error for labels that only a table can have.
  TarSource(IndexedFiles files, const SourceOptions& options);

  std::int64_t size() const override { return first_index_.back(); }
  RecordBlock Read(SampleIndex first, int count, std::stop_token stop) const override;
  StoredRecord ReadStored(SampleIndex index, std::stop_token stop) const override;
  void ReadAhead(SampleIndex first, int count) const override;
  RecordOrigin OriginOf(SampleIndex index) const override;
  std::vector<std::string> FieldsOf(SampleIndex index) const override;
  std::int64_t texts_of_several_lines() const override { return several_lines_; }
  std::uint64_t hash() const override { return files_.manifest.hash(); }

 private:
  /// The shard that holds a record.
  std::size_t ShardOf(std::int64_t index) const;
  struct OpenedShard {
    std::shared_ptr<const RandomAccessFile> file;
    std::shared_ptr<const Sidecar> places;
  };
  /// Both, and the one's places are the other's; nothing where the shard is gone. Throws
  /// std::runtime_error that names it: it holds other records than when it was indexed.
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
