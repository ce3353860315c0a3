#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/records/label.h"
#include "pipeline/records/table_keys.h"

namespace fastclip {

/// A table that lacks a column or field that is needed, or has two of that name: wrong use. Its
/// text names the options of commands, such as --image-key COLUMN.
class WrongColumn : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

enum class TableFormat : std::uint8_t { kTsv, kCsv, kJsonLines };
/// The format by file extension: .tsv, .csv, .jsonl or .ndjson, optionally followed by .gz.
std::optional<TableFormat> TableFormatOf(const std::string& path);

/// What each row must have.
struct TableWants {
  TableKeys keys;
  std::optional<std::string> labels;  ///< SourceOptions::labels
};

/// How to read the rows of a table.
struct TableLayout {
  TableFormat format = TableFormat::kTsv;
  /// For a .tsv or .csv, from its first line.
  char separator = '\t';
  bool overridden = false;           ///< by TableKeys::separator
  std::vector<std::string> columns;  ///< all names
  int image = -1;
  int label = -1;
  std::vector<int> captions;
  /// For a .jsonl: paths of the fields; empty: the usual names.
  std::vector<std::string> image_path, caption_path, label_path;
  bool labelled = false;  ///< the label is needed, captions are not
  bool captioned = true;  ///< false: labels but no captions, though labels were not requested
  std::shared_ptr<const ClassNames> class_names;  ///< SourceOptions::class_names
  std::string description;                        ///< which columns are read, for messages
};

/// Maximum columns; a file with more is not taken as a table.
inline constexpr std::size_t kMostColumns = 10'000;

/// Rank of a column or field name for the image path: 0 is the best; nothing for other names.
std::optional<int> ImageNameRank(std::string_view name);
/// Whether it is a name like "caption", "Title2", "text_2".
bool IsCaptionName(std::string_view name);

/// The separator of a .csv or .tsv, from its first line: that of the file extension if the line has
/// it, else a tab, semicolon, comma or bar in the line.
char SeparatorOf(TableFormat format, std::string_view first_line);
/// The candidates of SeparatorOf.
inline constexpr std::string_view kSeparators = "\t,;|";

/// The layout of a .csv or .tsv with that first line. Throws WrongColumn, with the existing
/// columns, if a needed column is missing or appears twice, and std::runtime_error for too many.
TableLayout LayoutOf(const std::string& path, TableFormat format, std::string_view first_line,
                     char separator, const TableWants& wants);
/// The layout of a .jsonl.
TableLayout JsonLayoutOf(const TableWants& wants);

/// "filepath, image, path, …": the names that are tried for the image path.
std::string UsualImageNames();

/// "'a', 'b' and 5 more", for errors that list names.
std::string ListNames(const std::vector<std::string>& names);

}  // namespace fastclip
