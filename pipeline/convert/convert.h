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
  /// A shard ends at this many records, or with the record that brings it over this many bytes (0:
  /// no limit).
  std::int64_t records_per_shard = 10'000;
  std::int64_t max_bytes = 0;
  /// Shorter side in pixels; smaller pictures keep their size. 0: all keep it.
  int resize = 0;
  /// How pictures are stored. kKeep stores the bytes as they are and only reads their header; it
  /// does not go with resize, background or decode.exif_rotate.
  Encoding encoding = Encoding::kKeep;
  /// JPEG's, 1 to 100.
  int quality = 95;
  /// What is transparent is laid over this colour. Without it transparency is dropped, as in
  /// training.
  std::optional<Rgb> background;
  DecodeOptions decode;
  int threads = 1;
  /// What is written to classes.txt beside the shards; empty: no such file.
  std::string class_lines;
};

struct ConvertProgress {
  std::int64_t rows = 0;  ///< looked at
  std::int64_t rows_total = 0;
  std::int64_t written = 0;
  std::int64_t bytes = 0;  ///< of the shards
};

struct ConvertReport {
  ConvertProgress done;
  std::int64_t shards = 0;
  SkipCounts skips{};
  std::int64_t copied = 0;             ///< written with the members that they had in a shard
  std::int64_t renamed = 0;            ///< as another record of the new shard had their key
  std::string first_renamed;           ///< "KEY → NEW KEY"
  std::int64_t replaced = 0;           ///< members that would have the new picture's name
  std::int64_t others = 0;             ///< files of shards that are no record's
  std::set<std::string> moved_fields;  ///< columns that are in the .json as "source_NAME"
  std::int64_t bad_labels = 0;         ///< of rows, that are no .cls
  std::vector<std::string> notes;      ///< what the last ones tell, for people, a line each
  struct SkippedRow {
    std::int64_t row;  ///< from 0
    std::string key;   ///< the image's path, for a table
    Skip cause;
  };
  /// The first kMaxNamed that could not be packed.
  std::vector<SkippedRow> skipped;
  static constexpr std::size_t kMaxNamed = 10'000;
};

/// Packs `source` into WebDataset shards 00000.tar, 00001.tar, … of a folder. Its convert.json has
/// the counts and names what was left out.
///
/// Records of tar shards keep all their members, under their names, in their order, byte for byte;
/// where pictures are encoded anew, the new one takes the old one's place, and "width" and "height"
/// of the .json are set, if it has them. Of other sources a record becomes KEY.jpg (or .png,
/// .webp), KEY.txt, with a label KEY.cls, and KEY.json, which tells row, source, sizes, all
/// captions where there are several, and what else a table's row has, under its names; KEY is the
/// shard's number and the place in it, as img2dataset counts. A key that is in the shard already
/// gets "-2", "-3", … behind it. A record with a label needs no caption.
///
/// Any number of threads gives the same bytes. Throws std::runtime_error if no row can be packed;
/// std::invalid_argument for options that do not go together.
ConvertReport Convert(const RecordSource& source, ConvertFolder& folder,
                      const ConvertOptions& options,
                      const std::function<void(const ConvertProgress&)>& on_progress = {});

}  // namespace fastclip
