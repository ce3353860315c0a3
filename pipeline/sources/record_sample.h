#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "pipeline/records/record_source.h"

namespace fastclip {

/// The field (RecordSource::FieldsOf) that is the label of a table or of a folder of classes.
inline constexpr const char* kLabelField = "label";

/// In place of a format: an image without bytes.
inline constexpr const char* kEmptyImage = "empty";

/// The content of a part of a list, estimated from some of its records.
struct RecordSample {
  std::int64_t part = 0;     ///< of the list, from 0
  std::int64_t size = 0;     ///< records of the part
  std::int64_t records = 0;  ///< records read, spread over the part
  std::int64_t captioned = 0;
  std::int64_t several_lines = 0;  ///< with a .txt of several lines
  std::int64_t labelled = 0;       ///< with a numeric label
  std::int64_t least_label = 0, most_label = 0;
  SkipCounts skips{};
  /// Images of the other records by kind, from their first bytes: "JPEG", "GIF", …, kEmptyImage;
  /// "": unknown.
  std::map<std::string, std::int64_t> kinds;
  /// The name of the first record of each cause (SkipName) and kind.
  std::map<std::string, std::string> examples;
  /// Fields (RecordSource::FieldsOf) and the number of records that have them.
  std::map<std::string, std::int64_t> fields;

  /// Whether it has images with labels and no captions: a classification set.
  bool OnlyLabels() const;
};

/// Reads up to 64 records of each part, fewer if there are more than 16 parts, so the work is
/// bounded. Images are not decoded. Throws like RecordSource::Read.
std::vector<RecordSample> SampleRecords(const RecordSource& source);

/// "2 of 64 checked records cannot be used: 1 no_image (as 'a' in 0.tar), 1 empty (as b.jpg)";
/// empty if none was found. Of kinds, only images that are empty or of no known format are bad
/// here.
std::string DescribeBad(const std::vector<RecordSample>& samples);

/// "images with captions", "images with labels (0 to 9), no captions", and bad records: "; 3
/// no_image of 64 checked".
std::string DescribeContent(const RecordSample& sample);

}  // namespace fastclip
