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

/// Where a record lies, for people: a file, and in it the byte of the record's first tar header (-1
/// where shard and sidecar are gone), or the number of a table's row.
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
  /// The sizes of the sources that were joined, one after the other; their sum is size().
  virtual std::vector<std::int64_t> part_sizes() const { return {size()}; }
  /// Records [first, first + count). Blocks; may be called from several threads at once. What is
  /// wrong with the data is a Skip in the record; throws std::runtime_error naming the file and
  /// offset where the machine fails (EIO after retries), or if `stop` is asked for meanwhile.
  virtual RecordBlock Read(SampleIndex first, int count, std::stop_token stop) const = 0;
  /// One record, with all that its source holds of it. As Read() else; a source of records that
  /// are no files gives what Read() gives.
  virtual StoredRecord ReadStored(SampleIndex index, std::stop_token stop) const {
    return {.block = Read(index, 1, std::move(stop)), .members = {}, .fields = {}};
  }
  /// Has the machine read these records into its cache while others are made: a hint, nothing waits
  /// for it. Throws as Read() does where the manifest cannot be read.
  virtual void ReadAhead(SampleIndex /*first*/, int /*count*/) const {}
  /// Throws as Read() does where the manifest cannot be read.
  virtual RecordOrigin OriginOf(SampleIndex index) const = 0;
  /// What a record has, for messages: its members by their extension ("jpg", "cls"), and
  /// "json.NAME" for each text, or list of texts, at the top of its .json. Names of a table's
  /// columns are in its errors. Empty where it cannot be read. Throws as Read() does.
  virtual std::vector<std::string> FieldsOf(SampleIndex /*index*/) const { return {}; }
  /// How often, of all records read so far, a .txt was taken that has several lines, whatever
  /// SourceOptions::caption_lines made of it.
  virtual std::int64_t texts_of_several_lines() const { return 0; }
  /// Identity of the data: over the names of files, their order, counts and keys. Stored in
  /// checkpoints.
  virtual std::uint64_t hash() const = 0;
};

struct SourceOptions {
  /// Manifest file to read or, where it is missing or stale, to write. Empty: beside the shards, or
  /// in `manifest_fallback_dir` where that folder cannot be written.
  std::string manifest;
  std::string manifest_fallback_dir;
  /// Take in files that changed since they were indexed, as fastclip shards index does. Else a file
  /// that holds other records now is refused by name: a SampleIndex would mean another one.
  bool renew = false;
  /// Take a manifest that names the list's files as it is, without a look at each of them: another
  /// rank has just made it or compared it. A file shows what it is when it is first opened.
  bool trust_manifest = false;
  /// Read tar shards whole and keep a checksum of each record's bytes, where there is none yet.
  bool add_checksums = false;
  /// Compare each record of tar shards with its checksum: other bytes are Skip::kChanged. A shard
  /// without checksums is refused by name, and so is a table, which has none.
  bool verify_checksums = false;
  /// Bytes that one record's members may have; more is Skip::kTooLarge.
  std::int64_t max_record_bytes = std::int64_t{256} << 20;
  /// Members of tar shards with the extension of another format are no images. Give the decoder
  /// the same: DecodeOptions::formats.
  PictureFormats formats = kUsualFormats;
  /// Where tar shards have their captions; empty: all of the list "captions" of the .json, else the
  /// .txt, else the .json's "caption".
  std::vector<CaptionKey> captions;
  /// Where tables have what.
  TableKeys table;
  CaptionLines caption_lines = CaptionLines::kWhole;
  /// Set: records are pictures with a label, for evaluation by classes. Captions are then neither
  /// read nor needed; a record without a label has Skip::kNoLabel or kBadLabel. The text says where
  /// the label is: "" the usual place (the member .cls, the column or field "label"), "json.NAME" a
  /// field of the member .json or of a .jsonl row ("json.A.B": B in A), else a column's name.
  std::optional<std::string> labels;
  /// Labels that are no numbers are looked up here; none: they are Skip::kBadLabel, as are names
  /// that are not there.
  std::shared_ptr<const ClassNames> class_names;
};

}  // namespace fastclip
