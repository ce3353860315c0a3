#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "pipeline/records/record_source.h"

namespace fastclip {

/// What a part of a list holds, by some of its records.
struct RecordSample {
  std::int64_t part = 0;     ///< of the list, from 0
  std::int64_t size = 0;     ///< records of the part
  std::int64_t records = 0;  ///< looked at, spread over it
  std::int64_t captioned = 0;
  std::int64_t several_lines = 0;  ///< with a .txt of several lines
  std::int64_t labelled = 0;       ///< with a number for a class
  std::int64_t least_label = 0, most_label = 0;
  SkipCounts skips{};
  /// RecordSource::FieldsOf, and how many records have it.
  std::map<std::string, std::int64_t> fields;

  /// Pictures with labels and no caption: a set to classify.
  bool OnlyLabels() const;
};

/// Reads up to 64 records of each part, fewer where there are over 16 parts: bounded work for any
/// size. Pictures are not decoded. Throws as RecordSource::Read does.
std::vector<RecordSample> SampleRecords(const RecordSource& source);

/// "pictures with captions", "pictures with labels (0 to 9), no captions", with what is wrong:
/// "; 3 no_image of 64 records looked at".
std::string DescribeContent(const RecordSample& sample);

/// Nothing if some record of each part has what is wanted of it, a picture and a caption; else why
/// not, and what to do: what the records hold instead, and where captions can be said to be
/// (`option`: "data.captions"; empty: nowhere). `list` was opened with `options`.
std::string DescribeLack(const std::vector<RecordSample>& samples, const std::string& list,
                         const SourceOptions& options, const std::string& option);

}  // namespace fastclip
