#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "pipeline/pixels/image.h"
#include "pipeline/records/record_source.h"

namespace fastclip {

struct BadRecord {
  SampleIndex index{};
  RecordOrigin origin;
  std::string key;
  Skip cause{};
};

struct LintReport {
  std::int64_t records = 0;
  std::int64_t healthy = 0;
  SkipCounts bad{};
};

/// Reads every record and decodes its picture whole, as training would, by `threads` threads.
/// `on_bad` hears of each record that training passes over, in order; `on_progress` of the report
/// so far. Throws what the source and the two throw.
LintReport Lint(const RecordSource& source, const DecodeOptions& options, int threads,
                const std::function<void(const BadRecord&)>& on_bad,
                const std::function<void(const LintReport&)>& on_progress = {});

}  // namespace fastclip
