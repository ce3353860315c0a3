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

/// One row as far as it could be read.
struct TableRow {
  std::string image;
  std::vector<std::string> captions;
  Label label;
  /// kBadRow: it has more fields than there are columns, or too few to have what is needed, or a
  /// quote that does not close, or it is no JSON object. kNoImage: it has no image path.
  std::optional<Skip> skip;
  bool open_quote = false;  ///< it ends the file within quotes
};

/// A row of a .csv or .tsv.
TableRow ParseFields(std::string_view line, const TableLayout& layout);

/// A row of a .jsonl: its captions are strings and strings in lists. Read as Python's json reads
/// it.
TableRow ParseJsonRow(std::string_view line, const TableLayout& layout);

/// What a row has beside image, caption and a label that is one, for who packs it anew. Of a .jsonl
/// the values stand as they are written, of a .csv or .tsv they are texts.
std::vector<StoredField> FieldsBeside(std::string_view line, const TableLayout& layout);

/// What the first rows of a .jsonl have.
class JsonRowNames {
 public:
  explicit JsonRowNames(const TableLayout& layout) : layout_(layout) {}
  void Add(std::string_view line);
  /// Throws std::runtime_error where no row is an object, or none has a field that is wanted,
  /// naming those that there are.
  void Check(const std::string& path, const TableWants& wants) const;
  /// Which fields are read, for people.
  std::string Description() const;

 private:
  const TableLayout& layout_;
  int rows_ = 0, objects_ = 0;
  std::vector<std::string> names_, captions_;
  std::string image_;
  bool has_label_ = false;
};

}  // namespace fastclip
