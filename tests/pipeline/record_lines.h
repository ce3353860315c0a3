#pragma once

#include <fmt/format.h>

#include <string>
#include <vector>

#include "pipeline/records/record_source.h"
#include "tests/pipeline/shard_files.h"

namespace fastclip {

inline RecordBlock ReadAll(const RecordSource& source) {
  return source.Read(SampleIndex{0}, static_cast<int>(source.size()), {});
}

/// "key|image|caption,caption|label|skip" of each record.
inline std::vector<std::string> Summary(const RecordBlock& block, char between = ',') {
  std::vector<std::string> lines;
  for (const Record& record : block.records) {
    std::string captions;
    for (const Caption& caption : record.captions) {
      if (!captions.empty()) captions += between;
      captions += caption.text;
    }
    lines.push_back(fmt::format("{}|{}|{}|{}|{}", record.key, AsString(record.image), captions,
                                record.label, record.skip ? SkipName(*record.skip) : ""));
  }
  return lines;
}

using Lines = std::vector<std::string>;

}  // namespace fastclip
