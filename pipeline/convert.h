#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/image.h"
#include "pipeline/record_source.h"

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
  struct SkippedRow {
    std::int64_t row;  ///< from 0
    std::string key;   ///< the image's path, for a table
    Skip cause;
  };
  /// The first kMaxNamed that could not be packed.
  std::vector<SkippedRow> skipped;
  static constexpr std::size_t kMaxNamed = 10'000;
};

/// Packs `source` into WebDataset shards OUT_DIR/00000.tar, 00001.tar, …: KEY.jpg (or .png, .webp),
/// KEY.txt, with a label KEY.cls, and KEY.json, which tells row, source, sizes, and all captions
/// where there are several. KEY is the shard's number and the place in it, as img2dataset counts.
/// OUT_DIR/convert.json has the counts and names what was left out.
///
/// The folder appears complete or not at all: it is made as OUT_DIR.unfinished, then renamed. Any
/// number of threads gives the same bytes. Throws std::runtime_error if OUT_DIR exists and is not
/// empty, or if no row can be packed; std::invalid_argument for options that do not go together.
ConvertReport Convert(const RecordSource& source, const std::string& out_dir,
                      const ConvertOptions& options,
                      const std::function<void(const ConvertProgress&)>& on_progress = {});

}  // namespace fastclip
