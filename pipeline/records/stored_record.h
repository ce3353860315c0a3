#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "pipeline/records/record.h"

namespace fastclip {

/// A member file of a record in its shard.
struct StoredMember {
  std::string path;  ///< "a/b.seg.png": the record's key, a dot, the field
  std::span<const std::byte> bytes;
};

/// A field of a table row other than image, caption and label.
struct StoredField {
  std::string name;
  std::string json;  ///< its value; for a .csv or .tsv a string
};

/// A record with everything that its source has for it, for repacking. Move-only; moving keeps the
/// views valid.
struct StoredRecord {
  RecordBlock block;  ///< of this record alone
  /// Members of a tar record, in the shard's order; the image shares the record's bytes. Empty for
  /// other sources.
  std::vector<StoredMember> members;
  /// Fields of a table row, in the row's order.
  std::vector<StoredField> fields;
  /// The row's label is not an integer; it is in `fields`.
  bool bad_label = false;
  /// Files between its members that do not belong to a record; left out.
  int others = 0;

  const Record& record() const { return block.records.front(); }
};

}  // namespace fastclip
