#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "pipeline/records/record_source.h"

namespace fastclip {

/// What one part of a list is, for `fastclip shards info` and the messages at a run's start.
struct PartInfo {
  std::string part;
  std::string kind;     ///< "tar", "table", "folder of classes", "synthetic"
  std::string details;  ///< of a table: the columns read; of a folder: its classes
  std::int64_t files = 0;
  std::int64_t records = 0;
  std::int64_t bytes = 0;  ///< of the listed files
  std::uint64_t hash = 0;
  std::uint64_t stamps_hash = 0;      ///< of the files' sizes and times
  std::string manifest;               ///< empty: none, or for this run only
  std::int64_t damaged_bytes = 0;     ///< zeros or garbage where records may have been
  std::int64_t checksummed = 0;       ///< files that have checksums of their records
  std::int64_t walked = 0;            ///< files scanned now because the manifest did not have them
  std::vector<std::string> warnings;  ///< problems of the data
  std::vector<std::string> notes;     ///< other messages, such as an index that cannot be saved
};

/// A file of a list, from its manifest.
struct ListedFile {
  std::string name;  ///< relative to the folder that holds all files of its part of the list
  std::string path;
  std::int64_t records = 0;
  std::uint64_t content_hash = 0;  ///< FileFacts::content_hash
  int part = 0;                    ///< of the list, from 0
};

struct OpenedSource {
  std::unique_ptr<RecordSource> source;
  std::vector<PartInfo> parts;
  std::vector<ListedFile> files;  ///< the files in the source's hash(), in order
};

/// Opens a list: tar shards with braces and globs ("cc3m/{00000..00331}.tar"), a table (.tsv, .csv,
/// .jsonl, also with .gz) of image path and caption, a folder of classes, or "synthetic:N" (N
/// generated pairs). Lists joined by "::" are one source with their records in order. Throws
/// std::runtime_error with the part of the list and what to do.
std::unique_ptr<RecordSource> OpenSource(const std::string& list,
                                         const SourceOptions& options = {});

/// Like OpenSource, with information on each part. With several parts, options.manifest is one file
/// per part: "FILE.0", "FILE.1", …
OpenedSource OpenSourceWithInfo(const std::string& list, const SourceOptions& options = {});

/// `list` rewritten to mean the same data from any folder: relative names get the absolute `folder`
/// as prefix, and existing names are escaped. "synthetic:N" stays.
std::string AbsoluteList(const std::string& list, const std::string& folder);

/// The class names of a list whose parts are all folders of classes: sorted, without duplicates.
/// Empty for any other list. Throws like OpenSource.
std::vector<std::string> ClassesOfList(const std::string& list);

/// The warnings and notes of all parts, one line each: "PART: WARNING". If there are many, the
/// first ones and a line with the number of others.
std::vector<std::string> WarningLines(const std::vector<PartInfo>& parts);
/// The details of the folders of classes, one line each: "PART: DETAILS".
std::vector<std::string> FolderLines(const std::vector<PartInfo>& parts);

}  // namespace fastclip
