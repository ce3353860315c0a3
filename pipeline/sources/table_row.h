#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/records/label.h"
#include "pipeline/records/record.h"
#include "pipeline/records/stored_record.h"
#include "pipeline/sources/table_layout.h"

namespace fastclip {

/// One parsed row.
struct TableRow {
  std::string image;
  std::vector<std::string> captions;
  Label label;
  /// kBadRow: more fields than columns, too few for what is needed, an unclosed quote, or not a
  /// JSON object. kNoImage: no image path.
  std::optional<Skip> skip;
  bool open_quote = false;  ///< the file ends within its quotes
};

/// Parses a row of a .csv or .tsv.
TableRow ParseFields(std::string_view line, const TableLayout& layout);

/// Parses a row of a .jsonl like Python's json; captions are strings and strings in lists.
TableRow ParseJsonRow(std::string_view line, const TableLayout& layout);

/// The fields of a row other than image, caption and a valid label, for repacking. Values of a
/// .jsonl are unchanged; those of a .csv or .tsv are strings.
std::vector<StoredField> FieldsBeside(std::string_view line, const TableLayout& layout);

/// The fields of the first rows of a .jsonl.
class JsonRowNames {
 public:
  explicit JsonRowNames(const TableLayout& layout) : layout_(layout) {}
  void Add(std::string_view line);
  /// Throws std::runtime_error, with the existing fields, if no row is an object or none has a
  /// needed field.
  void Check(const std::string& path, const TableWants& wants) const;
  /// Which fields are read, for messages.
  std::string Description() const;

 private:
  const TableLayout& layout_;
  int rows_ = 0, objects_ = 0;
  std::vector<std::string> names_, captions_;
  std::string image_;
  bool has_label_ = false;
};

}  // namespace fastclip
