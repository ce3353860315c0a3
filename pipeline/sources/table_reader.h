#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>

#include "pipeline/base/separated_text.h"
#include "pipeline/files/random_access_file.h"
#include "pipeline/sources/table_layout.h"
#include "pipeline/sources/table_row.h"

namespace fastclip {

/// Reads the rows of a table one after the other; blank lines are none. The first line of a .tsv or
/// .csv names the columns (LayoutOf says which are taken); rows and fields are
/// those that pandas.read_csv finds (separated_text.h). A first line "sep=;", as Excel has it,
/// names the separator. A .jsonl has one object a line, with the same names. The file must outlive
/// it.
class TableReader {
 public:
  /// A row may have this many bytes.
  static constexpr std::size_t kMaxRow = 16 << 20;
  using OnBytes = std::function<void(std::span<const std::byte>)>;

  /// From the start; reads the first line, of a .jsonl the first rows. `on_bytes` sees every byte
  /// of the file once, in order, if given. Throws std::runtime_error where a column is missing or
  /// no row has the field that is wanted, naming those there are, and where the file is not text of
  /// bytes (UTF-16, or zeros in the first line).
  TableReader(const RandomAccessFile& file, TableFormat format, const TableWants& wants = {},
              OnBytes on_bytes = {});
  /// From the row that begins at `offset`.
  TableReader(const RandomAccessFile& file, TableLayout layout, std::int64_t offset,
              std::stop_token stop);

  const TableLayout& layout() const { return layout_; }
  /// Where the row that Next() gives begins, blank lines aside.
  std::int64_t offset() const { return offset_; }
  /// The next row; nothing at the end. Throws std::runtime_error with the byte for a row over
  /// kMaxRow of a .csv or .tsv, which is most likely a quote that does not close; a line over it of
  /// a .jsonl is a bad row.
  std::optional<TableRow> Next();
  /// The row that Next() gave, as it stands; until the next call.
  std::string_view line() const { return line_; }
  /// Passes over a row without looking into it.
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
  TableLayout layout_;
  const OnBytes on_bytes_;
  const std::stop_token stop_;
  RowScanner scanner_;
  std::string buffer_;            // bytes read but not yet given
  std::size_t begin_ = 0;         // of the next row in buffer_
  std::int64_t offset_ = 0;       // of begin_ in the file
  std::size_t fetch_ = 16 << 10;  // bytes asked for next: few rows are wanted, or all
  std::string_view line_;         // the row in buffer_, without its line break
  bool too_long_ = false;         // the row was longer than kMaxRow, and line_ is its beginning
};

}  // namespace fastclip
