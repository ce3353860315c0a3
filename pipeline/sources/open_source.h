#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "pipeline/records/record_source.h"

namespace fastclip {

/// What one part of a list turned out to be; for `fastclip shards info` and the lines at a run's
/// start.
struct PartInfo {
  std::string part;
  std::string kind;     ///< "tar", "table", "folder of classes", "synthetic"
  std::string details;  ///< of a table: the columns that are read; of a folder: its classes
  std::int64_t files = 0;
  std::int64_t records = 0;
  std::int64_t bytes = 0;  ///< of the listed files
  std::uint64_t hash = 0;
  std::uint64_t stamps_hash = 0;   ///< of the files' sizes and times
  std::string manifest;            ///< empty: none, or for this run only
  std::int64_t damaged_bytes = 0;  ///< zeros or garbage where records may have been
  std::int64_t checksummed = 0;    ///< files that have checksums of their records
  std::int64_t walked = 0;  ///< files looked through now because the manifest did not know them
  std::vector<std::string> warnings;  ///< what is wrong with the data
  std::vector<std::string> notes;     ///< what is no fault of the data: no place for an index
};

/// One of the files of a list, as its manifest knows it.
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
  std::vector<ListedFile> files;  ///< that the source's hash() is of, in their order
};

/// Opens a list: tar shards with braces and globs ("cc3m/{00000..00331}.tar"), a table (.tsv, .csv,
/// .jsonl, also with .gz) of image path and caption, a folder of classes, or "synthetic:N" (N pairs
/// made up from their index). Lists joined by "::" are one source, their records one after the
/// other. Throws std::runtime_error that names the part of the list and says what to do.
std::unique_ptr<RecordSource> OpenSource(const std::string& list,
                                         const SourceOptions& options = {});

/// OpenSource, and what it found. With several parts, options.manifest stands for one file a part:
/// "FILE.0", "FILE.1", …
OpenedSource OpenSourceWithInfo(const std::string& list, const SourceOptions& options = {});

/// `list` as it must be spelled to name the same data from any folder; `folder`, an absolute one,
/// stands before what is relative, and names that exist are escaped. "synthetic:N" stays.
std::string AbsoluteList(const std::string& list, const std::string& folder);

/// The names of the classes of a list whose parts are all folders of classes: sorted, each once.
/// Empty for any other list. Throws as OpenSource does.
std::vector<std::string> ClassesOfList(const std::string& list);

/// The warnings and notes of all parts for people, a line each: "PART: WARNING". Of many the first
/// ones, then a line that tells how many more there are.
std::vector<std::string> WarningLines(const std::vector<PartInfo>& parts);
/// What the folders of classes among them hold and leave out, a line each: "PART: DETAILS".
std::vector<std::string> FolderLines(const std::vector<PartInfo>& parts);

}  // namespace fastclip
