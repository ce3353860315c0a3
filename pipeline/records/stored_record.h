#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "pipeline/records/record.h"

namespace fastclip {

/// A file of a record as its shard has it.
struct StoredMember {
  std::string path;  ///< "a/b.seg.png": the record's key, a dot, the field
  std::span<const std::byte> bytes;
};

/// What a table's row has beside image, caption and label.
struct StoredField {
  std::string name;
  std::string json;  ///< its value; that of a .csv or .tsv is a text
};

/// A record with all that its source holds of it, for who packs it anew. Move-only; moving keeps
/// the views valid.
struct StoredRecord {
  RecordBlock block;  ///< of this record alone
  /// Of a record of a tar shard, in the shard's order. The image among them is the very bytes of
  /// the record's. None for records of other sources.
  std::vector<StoredMember> members;
  /// Of a table's row, in the row's order.
  std::vector<StoredField> fields;
  /// The row has a label that is no whole number: it is among the fields.
  bool bad_label = false;
  /// Files between its members that are no record's: left out.
  int others = 0;

  const Record& record() const { return block.records.front(); }
};

}  // namespace fastclip
