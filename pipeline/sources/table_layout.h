#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/records/label.h"
#include "pipeline/records/table_keys.h"

namespace fastclip {

enum class TableFormat : std::uint8_t { kTsv, kCsv, kJsonLines };
/// By its ending: .tsv, .csv, .jsonl or .ndjson, and the same with .gz behind it.
std::optional<TableFormat> TableFormatOf(const std::string& path);

/// What is wanted of each row.
struct TableWants {
  TableKeys keys;
  std::optional<std::string> labels;  ///< SourceOptions::labels
};

/// How the rows of a table are to be read.
struct TableLayout {
  TableFormat format = TableFormat::kTsv;
  /// Of a .tsv or .csv: what its first line told.
  char separator = '\t';
  bool overridden = false;           ///< by TableKeys::separator
  std::vector<std::string> columns;  ///< all names
  int image = -1;
  int label = -1;
  std::vector<int> captions;
  /// Of a .jsonl, whose rows name their fields; empty: the usual names.
  std::vector<std::string> image_path, caption_path, label_path;
  bool labelled = false;  ///< the label is needed, captions are not
  bool captioned = true;  ///< false: there is a label and no caption, though none asked for labels
  std::shared_ptr<const ClassNames> class_names;  ///< SourceOptions::class_names
  std::string description;                        ///< which columns are read, for people
};

/// More columns than this are taken for a table of another kind.
inline constexpr std::size_t kMostColumns = 10'000;

/// How much a column's or field's name says that it holds the image's path: 0 the most; nothing for
/// other names.
std::optional<int> ImageNameRank(std::string_view name);
/// "caption", "Title2", "text_2".
bool IsCaptionName(std::string_view name);

/// The separator of a .csv or .tsv as its first line shows it: that of the name's ending where the
/// line has it, else a tab, semicolon, comma or bar that it has.
char SeparatorOf(TableFormat format, std::string_view first_line);
/// The candidates of SeparatorOf.
inline constexpr std::string_view kSeparators = "\t,;|";

/// The layout of a .csv or .tsv with that first line. Throws std::runtime_error where a column that
/// is wanted is missing, or is there twice, naming those that there are.
TableLayout LayoutOf(const std::string& path, TableFormat format, std::string_view first_line,
                     char separator, const TableWants& wants);
/// The layout of a .jsonl.
TableLayout JsonLayoutOf(const TableWants& wants);

/// "'a', 'b' and 5 more": for errors that tell which names there are.
std::string ListNames(const std::vector<std::string>& names);

}  // namespace fastclip
