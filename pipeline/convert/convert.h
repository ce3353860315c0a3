#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "pipeline/convert/convert_folder.h"
#include "pipeline/pixels/image.h"
#include "pipeline/records/record_source.h"

namespace fastclip {

enum class Encoding : std::uint8_t { kKeep, kJpeg, kPng };

struct ConvertOptions {
  /// A shard ends at this many records, or with the record that takes it over this many bytes (0:
  /// no limit).
  std::int64_t records_per_shard = 10'000;
  std::int64_t max_bytes = 0;
  /// Shorter side in pixels; smaller images keep their size. 0: no resize.
  int resize = 0;
  /// How images are stored. kKeep copies the bytes and only reads their header; it excludes resize,
  /// background and decode.exif_rotate.
  Encoding encoding = Encoding::kKeep;
  /// JPEG's, 1 to 100.
  int quality = 95;
  /// Transparent images are blended over this colour. If unset, transparency is dropped, as in
  /// training.
  std::optional<Rgb> background;
  DecodeOptions decode;
  int threads = 1;
  /// Content of classes.txt next to the shards; empty: no such file.
  std::string class_lines;
};

struct ConvertProgress {
  std::int64_t rows = 0;  ///< read
  std::int64_t rows_total = 0;
  std::int64_t written = 0;
  std::int64_t bytes = 0;  ///< of the shards
};

struct ConvertReport {
  ConvertProgress done;
  std::int64_t shards = 0;
  SkipCounts skips{};
  std::int64_t copied = 0;             ///< records copied with all members of their shard
  std::int64_t renamed = 0;            ///< records with a new key, since theirs was taken
  std::string first_renamed;           ///< "KEY → NEW KEY"
  std::int64_t replaced = 0;           ///< members dropped for the new image's name
  std::int64_t others = 0;             ///< files that do not belong to a record
  std::set<std::string> moved_fields;  ///< columns stored as "source_NAME" in the .json
  std::int64_t bad_labels = 0;         ///< labels that cannot be a .cls
  std::int64_t broken_captions = 0;    ///< captions with line breaks in them
  std::vector<std::string> notes;      ///< the counts above as text, and what to do about skips
  struct SkippedRow {
    std::int64_t row;  ///< from 0
    std::string key;   ///< the image's path, for a table
    Skip cause;
  };
  /// The first kMaxNamed rows that could not be packed.
  std::vector<SkippedRow> skipped;
  static constexpr std::size_t kMaxNamed = 10'000;
};

/// Packs `source` into WebDataset shards 00000.tar, 00001.tar, … of a folder. Its convert.json has
/// the counts and lists what was left out.
///
/// Records of tar shards keep all members byte for byte, with their names and order. If images are
/// re-encoded, the new image replaces the old one, and "width" and "height" in the .json are
/// updated if present. Records of other sources become KEY.jpg (or .png, .webp), KEY.txt, KEY.cls
/// if they have a label, and KEY.json with row, source, sizes, all captions if there are several,
/// and the other columns of a table's row. KEY is the shard number and the position in it, as in
/// img2dataset. A key that is already in the shard gets "-2", "-3", … appended. A record with a
/// label needs no caption.
///
/// The output is bit-identical for any number of threads. Throws std::runtime_error if no row can
/// be packed, std::invalid_argument for options that exclude each other.
ConvertReport Convert(const RecordSource& source, ConvertFolder& folder,
                      const ConvertOptions& options,
                      const std::function<void(const ConvertProgress&)>& on_progress = {});

}  // namespace fastclip
