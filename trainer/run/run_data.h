#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pipeline/sources/open_source.h"

namespace fastclip {

/// RUN/data.jsonl: the files that a run trains on, so that a resume whose data is other data can
/// name what changed. A line for the whole ({"hash": …}), then one for each file.

/// Writes it, unless it is there for the same data, whose hash and files are given. Throws
/// std::runtime_error.
void WriteRunData(const std::string& run, std::uint64_t hash, const std::vector<ListedFile>& files);

/// What differs from the data of the run: "shards/003.tar is gone, and 2 more files differ". Empty:
/// nothing is known of it.
std::string DescribeDataChange(const std::string& run, const std::vector<ListedFile>& now);

}  // namespace fastclip
