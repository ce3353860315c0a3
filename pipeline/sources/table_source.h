#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/files/gzip_copy.h"
#include "pipeline/records/record_source.h"
#include "pipeline/shards/index_files.h"
#include "pipeline/shards/record_places.h"
#include "pipeline/sources/table_reader.h"

namespace fastclip {

/// The rows of a table of image paths and captions, one record each; TableReader selects the
/// columns.
///
/// Paths are relative to the table's folder. No list of them is kept: the table's sidecar has the
/// byte of every 64th row; a .gz is read from a decompressed copy. A missing image is
/// Skip::kMissing, an invalid row kBadRow, one without a path kNoImage; all keep their index. The
/// key is the path in the table. A table that changes while it is open is compared with its index
/// at the next Read(), which throws std::runtime_error if its bytes are others; the copy of a .gz
/// stays as it was.
class TableSource final : public RecordSource {
 public:
  /// Opens the table `path`, which is `part` of a list, with its index.
  static std::unique_ptr<TableSource> Open(const std::string& part, const std::string& path,
                                           const SourceOptions& options);
  /// The kind of its manifest and sidecar.
  static FileKind KindOf(const TableKeys& keys);

  std::int64_t size() const override { return entry().count; }
  RecordBlock Read(SampleIndex first, int count, std::stop_token stop) const override;
  StoredRecord ReadStored(SampleIndex index, std::stop_token stop) const override;
  RecordOrigin OriginOf(SampleIndex index) const override {
    return {files_.paths.front(), ToInt(index)};
  }
  std::vector<std::string> FieldsOf(SampleIndex index) const override;
  std::uint64_t hash() const override { return files_.manifest.hash(); }
  /// Which columns are read, for messages.
  const std::string& columns() const { return layout_.description; }
  const IndexedFiles& files() const { return files_; }
  /// Problems found by reading some rows that the index does not show: all images are missing, or
  /// where an open quote begins.
  std::vector<std::string> Findings() const;
  /// Why all images are missing, if none of some rows' images exists.
  std::optional<std::string> FindMissingImages() const;

 private:
  /// The open table.
  struct Text {
    std::shared_ptr<const RandomAccessFile> file;  ///< of a .gz: its decompressed copy
    std::optional<FileStamp> copied;               ///< of a .gz: its stamp when it was decompressed
  };

  TableSource(IndexedFiles files, Text text, TableLayout layout, const SourceOptions& options);

  const std::string& path() const { return files_.paths.front(); }
  const ManifestEntry& entry() const { return files_.manifest.entries().front(); }
  /// A reader whose next row is `row`. Throws std::runtime_error if the table has other bytes than
  /// when it was indexed.
  TableReader ReaderAt(std::int64_t row, std::stop_token stop) const;
  /// The next row; throws if there is none.
  TableRow NextOf(TableReader& reader) const;
  std::string PathOf(const TableRow& row) const;
  void AddRecord(SampleIndex index, const TableRow& row, const std::stop_token& stop,
                 class BlockBuilder& builder) const;

  const IndexedFiles files_;
  const std::int64_t max_record_bytes_;
  const Text text_;
  const TableLayout layout_;
  const RecordPlaces places_;  // of files_
};

}  // namespace fastclip
