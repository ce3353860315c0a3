#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "pipeline/records/caption_key.h"
#include "pipeline/records/picture_format.h"
#include "pipeline/records/record.h"
#include "pipeline/records/stored_record.h"
#include "pipeline/records/table_keys.h"

namespace fastclip {

class ClassNames;

/// Where a record is, for messages: a file, and the byte of the record's first tar header (-1 if
/// shard and sidecar are missing) or the row number in a table.
struct RecordOrigin {
  std::string file;
  std::int64_t offset = 0;
};

/// The records of a data set by SampleIndex: tar shards, a table of image files, synthetic.
class RecordSource {
 public:
  virtual ~RecordSource() = default;
  /// Number of records; SampleIndex runs over [0, size()).
  virtual std::int64_t size() const = 0;
  /// The sizes of the joined sources, in order; their sum is size().
  virtual std::vector<std::int64_t> part_sizes() const { return {size()}; }
  /// Records [first, first + count). Blocking and thread-safe. Bad data is a Skip in the record.
  /// Throws std::runtime_error with file and offset for I/O failures (EIO after retries), or if
  /// `stop` is requested.
  virtual RecordBlock Read(SampleIndex first, int count, std::stop_token stop) const = 0;
  /// One record with everything that its source has for it. Otherwise like Read(), which is also
  /// the default.
  virtual StoredRecord ReadStored(SampleIndex index, std::stop_token stop) const {
    return {.block = Read(index, 1, std::move(stop)), .members = {}, .fields = {}};
  }
  /// Hint to read these records into the page cache in the background. Throws like Read() if the
  /// manifest cannot be read.
  virtual void ReadAhead(SampleIndex /*first*/, int /*count*/) const {}
  /// Throws like Read() if the manifest cannot be read.
  virtual RecordOrigin OriginOf(SampleIndex index) const = 0;
  /// The fields of a record, for messages: its members by extension ("jpg", "cls"), and "json.NAME"
  /// for each string or list of strings at the top level of its .json. (Errors of tables list their
  /// columns.) Empty if the record cannot be read. Throws like Read().
  virtual std::vector<std::string> FieldsOf(SampleIndex /*index*/) const { return {}; }
  /// How many records read so far had a .txt of several lines, for any
  /// SourceOptions::caption_lines.
  virtual std::int64_t texts_of_several_lines() const { return 0; }
  /// Identity of the data: a hash of file names, their order, counts and keys. Stored in
  /// checkpoints.
  virtual std::uint64_t hash() const = 0;
};

struct SourceOptions {
  /// Manifest file to read or, if it is missing or stale, to write. Empty: next to the shards, or
  /// in `manifest_fallback_dir` if that folder cannot be written.
  std::string manifest;
  std::string manifest_fallback_dir;
  /// Accept files that changed since they were indexed, like fastclip shards index. Otherwise a
  /// file with other records is an error, because a SampleIndex would mean another record.
  bool renew = false;
  /// Use a manifest of the list's files without checking each file, because another rank has just
  /// built or checked it. Files are then checked when first opened.
  bool trust_manifest = false;
  /// Read whole tar shards and store a checksum of each record's bytes, if there is none yet.
  bool add_checksums = false;
  /// Compare each record of tar shards with its checksum: changed bytes are Skip::kChanged. A shard
  /// without checksums is an error, and so is a table.
  bool verify_checksums = false;
  /// Maximum bytes of one record's members; more is Skip::kTooLarge.
  std::int64_t max_record_bytes = std::int64_t{256} << 20;
  /// Members of tar shards with the extension of another format are not images. Set
  /// DecodeOptions::formats to the same.
  PictureFormats formats = kUsualFormats;
  /// Where tar shards have captions. Empty: the whole list "captions" of the .json, else the .txt,
  /// else "caption" of the .json.
  std::vector<CaptionKey> captions;
  /// The columns of tables.
  TableKeys table;
  /// A table is an error if none of the images that are tried exists; otherwise that is a warning.
  bool refuse_missing_images = false;
  CaptionLines caption_lines = CaptionLines::kWhole;
  /// If set, records are images with a label, for evaluation by classes. Captions are neither read
  /// nor needed; a record without a label has Skip::kNoLabel or kBadLabel. The value is the place
  /// of the label: "" for the default (the member .cls, the column or field "label"), "json.NAME"
  /// for a field of the member .json or of a .jsonl row ("json.A.B": B in A), else a column name.
  std::optional<std::string> labels;
  /// Class names for labels that are not numbers. Unknown names, or all if this is null, are
  /// Skip::kBadLabel.
  std::shared_ptr<const ClassNames> class_names;
};

}  // namespace fastclip
