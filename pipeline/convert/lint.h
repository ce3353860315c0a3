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

/// Reads every record and decodes its whole image, as training would, on `threads` threads. Calls
/// `on_bad` for each record that training would skip, in order, and `on_progress` with the report
/// so far. Throws what the source and the callbacks throw.
LintReport Lint(const RecordSource& source, const DecodeOptions& options, int threads,
                const std::function<void(const BadRecord&)>& on_bad,
                const std::function<void(const LintReport&)>& on_progress = {});

}  // namespace fastclip
