#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pipeline/sources/open_source.h"

namespace fastclip {

/// RUN/data.jsonl: the files that a run trains on, so that a resume with other data can say what
/// changed. One line for all data ({"hash": …}), then one per file.

/// Writes it for data with this hash and these files, unless it is already there. Throws
/// std::runtime_error.
void WriteRunData(const std::string& run, std::uint64_t hash, const std::vector<ListedFile>& files);

/// How the data differs from the run's: "shards/003.tar is missing, and 2 more files differ".
/// Empty: unknown.
std::string DescribeDataChange(const std::string& run, const std::vector<ListedFile>& now);

}  // namespace fastclip
