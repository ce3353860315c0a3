#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>

#include "pipeline/base/byte_range.h"
#include "pipeline/base/separated_text.h"
#include "pipeline/files/random_access_file.h"
#include "pipeline/sources/table_layout.h"
#include "pipeline/sources/table_row.h"

namespace fastclip {

/// Reads the rows of a table in order, without blank lines. The first line of a .tsv or .csv has
/// the column names (LayoutOf selects columns); rows and fields are those of pandas.read_csv
/// (separated_text.h). A first line "sep=;", as Excel writes it, sets the separator. A .jsonl has
/// one object per line, with the same names. The file must outlive it; if it becomes shorter while
/// it is read, reading throws std::runtime_error, since the last row would be truncated.
class TableReader {
 public:
  /// Maximum bytes of a row.
  static constexpr std::size_t kMaxRow = 16 << 20;
  using OnBytes = std::function<void(std::span<const std::byte>)>;

  /// Starts at the beginning; reads the first line, or the first rows of a .jsonl. The file ends
  /// where it ends now. `on_bytes`, if given, gets every byte of it once, in order. Throws
  /// std::runtime_error, with the existing names, if a needed column is missing or no row has a
  /// needed field, and if the file is not byte text (UTF-16, or zeros in the first line).
  TableReader(const RandomAccessFile& file, TableFormat format, const TableWants& wants = {},
              OnBytes on_bytes = {});
  /// Reads the rows in [rows.begin, rows.end), which must begin with a row and end with one.
  TableReader(const RandomAccessFile& file, TableLayout layout, ByteRange rows,
              std::stop_token stop);

  const TableLayout& layout() const { return layout_; }
  /// Start of the row that Next() will return, or of blank lines before it.
  std::int64_t offset() const { return offset_; }
  /// The next row; nothing at the end. For a row over kMaxRow, throws std::runtime_error with its
  /// byte in a .csv or .tsv (most likely an unclosed quote); in a .jsonl it is a bad row.
  std::optional<TableRow> Next();
  /// The raw text of the last row; valid until the next call.
  std::string_view line() const { return line_; }
  /// Skips a row without parsing it.
  void Skip() { NextLine(); }

 private:
  bool NextLine();
  bool Fill();
  void PassOverRest();
  std::size_t FindRowEnd(std::size_t from);
  bool IsBlank(std::string_view line) const;
  void RefuseOtherFiles() const;
  void ReadFirstLine(const TableWants& wants);
  void LookAtFirstRows(const TableWants& wants);

  const RandomAccessFile& file_;
  const std::int64_t end_;  // no byte at or behind it is read
  TableLayout layout_;
  const OnBytes on_bytes_;
  const std::stop_token stop_;
  RowScanner scanner_;
  std::string buffer_;            // bytes read but not yet given
  std::size_t begin_ = 0;         // of the next row in buffer_
  std::int64_t offset_ = 0;       // of begin_ in the file
  std::size_t fetch_ = 16 << 10;  // bytes of the next read: grows, as few rows or all are needed
  std::string_view line_;         // the row in buffer_, without its line break
  bool too_long_ = false;         // the row was longer than kMaxRow, and line_ is its beginning
};

}  // namespace fastclip
