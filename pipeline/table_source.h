#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/index_files.h"
#include "pipeline/record_places.h"
#include "pipeline/record_source.h"
#include "pipeline/table_reader.h"

namespace fastclip {

/// The rows of a table of image path and caption, one record each; TableReader says which columns.
///
/// Paths are relative to the table's folder. No list of them is held: the table's sidecar has the
/// byte of every 64th row. An image that is gone is Skip::kMissing, a row that cannot be read
/// kNoImage; both keep their place. The key is the path as the table has it.
class TableSource final : public RecordSource {
 public:
  /// Walks the table for IndexFiles.
  static WalkedFile Walk(int fd, const std::string& path, const std::optional<std::string>& labels);

  /// `files` holds one table.
  TableSource(IndexedFiles files, const SourceOptions& options);

  std::int64_t size() const override { return entry().count; }
  RecordBlock Read(SampleIndex first, int count, std::stop_token stop) const override;
  RecordOrigin OriginOf(SampleIndex index) const override {
    return {files_.paths.front(), ToInt(index)};
  }
  std::uint64_t hash() const override { return files_.manifest.hash(); }
  /// Which columns are read, for people.
  const std::string& columns() const { return layout_.description; }

 private:
  const ManifestEntry& entry() const { return files_.manifest.entries().front(); }
  void AddRecord(SampleIndex index, const TableRow& row, const std::stop_token& stop,
                 class BlockBuilder& builder) const;

  const IndexedFiles files_;
  const std::int64_t max_record_bytes_;
  const bool labelled_;
  const UniqueFd fd_;
  const TableLayout layout_;
  const RecordPlaces places_;  // of files_
};

}  // namespace fastclip
