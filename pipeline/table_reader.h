#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "pipeline/label.h"

namespace fastclip {

enum class TableFormat : std::uint8_t { kTsv, kCsv, kJsonLines };
/// By its ending: .tsv, .csv (RFC 4180: quotes, also around line breaks), .jsonl or .ndjson.
std::optional<TableFormat> TableFormatOf(const std::string& path);

/// One row. Without an image path it is not readable: a field is missing, or it is no JSON object.
struct TableRow {
  std::string image;
  std::vector<std::string> captions;
  Label label;
  bool readable() const { return !image.empty(); }
};

/// How the rows of a table are to be read: what its first line told.
struct TableLayout {
  TableFormat format = TableFormat::kTsv;
  /// Columns; unused for .jsonl, whose rows name their fields.
  int image = -1;
  int label = -1;
  std::vector<int> captions;
  /// Of the label in a .jsonl row; empty: the field "label".
  std::vector<std::string> label_path;
  std::string description;  ///< which columns are read, for people
};

/// Reads the rows of a table one after the other; blank lines are none. The first line of a .tsv or
/// .csv names the columns, in any case: the image's path is "filepath", "image" or "path", the
/// first there is of them; captions are all of "caption", "title", "text", also with a number
/// ("caption_2"); "label" is optional. The objects of a .jsonl have the same names, and a caption
/// may be a list of strings. Where labels are asked for (SourceOptions::labels), the label is
/// needed and the captions are not.
class TableReader {
 public:
  /// A row may have this many bytes.
  static constexpr std::size_t kMaxRow = 16 << 20;
  using OnBytes = std::function<void(std::span<const std::byte>)>;

  /// From the start; reads the first line. `labels` is SourceOptions::labels; `on_bytes` sees every
  /// byte of the file once, in order, if given. Throws std::runtime_error where a column is
  /// missing, naming those there are.
  TableReader(int fd, std::string path, TableFormat format,
              const std::optional<std::string>& labels = std::nullopt, OnBytes on_bytes = {});
  /// From the row that begins at `offset`.
  TableReader(int fd, std::string path, TableLayout layout, std::int64_t offset,
              std::stop_token stop);

  const TableLayout& layout() const { return layout_; }
  /// Where the row that Next() gives begins, blank lines aside.
  std::int64_t offset() const { return offset_; }
  /// The next row; nothing at the end. Throws std::runtime_error with the byte for a row over
  /// kMaxRow, which in a .csv is most likely a quote that does not close.
  std::optional<TableRow> Next();
  /// Passes over a row without looking into it.
  void Skip() { NextLine(); }

 private:
  bool NextLine();
  bool Fill();
  std::size_t FindRowEnd(std::size_t from);
  void ChooseColumns(const std::vector<std::string>& names, const LabelKey* labels);
  TableRow ParseFields() const;

  const int fd_;
  const std::string path_;
  TableLayout layout_;
  const OnBytes on_bytes_;
  const std::stop_token stop_;
  std::string buffer_;            // bytes read but not yet given
  std::size_t begin_ = 0;         // of the next row in buffer_
  std::int64_t offset_ = 0;       // of begin_ in the file
  std::size_t fetch_ = 16 << 10;  // bytes asked for next: few rows are wanted, or all
  std::string line_;              // the row as it stands, without its line break
  bool in_quotes_ = false;        // where FindRowEnd stopped
  bool at_field_start_ = true;
};

}  // namespace fastclip
