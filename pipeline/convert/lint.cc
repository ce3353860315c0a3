#include "pipeline/convert/lint.h"

#include <algorithm>
#include <vector>

#include "pipeline/base/in_order.h"
#include "pipeline/pixels/picture_rows.h"

namespace fastclip {
namespace {

constexpr std::int64_t kRecordsPerTask = 32;

struct Checked {
  std::int64_t records = 0;
  std::vector<BadRecord> bad;
};

Checked Check(const RecordSource& source, std::int64_t first, const PictureRows& rows) {
  PicturePart part;
  Checked checked{.records = std::min(kRecordsPerTask, source.size() - first), .bad = {}};
  for (std::int64_t index = first; index < first + checked.records; ++index) {
    // One at a time: a thread holds no more than the largest record.
    const RecordBlock block = source.Read(SampleIndex{index}, 1, {});
    const Record& record = block.records.at(0);
    const auto cause =
        record.skip ? record.skip : rows.Decode(record.image, {.index = record.index}, part);
    if (!cause) continue;
    checked.bad.push_back({.index = record.index,
                           .origin = source.OriginOf(record.index),
                           .key = std::string(record.key),
                           .cause = *cause});
  }
  return checked;
}

}  // namespace

LintReport Lint(const RecordSource& source, const DecodeOptions& options, int threads,
                const std::function<void(const BadRecord&)>& on_bad,
                const std::function<void(const LintReport&)>& on_progress) {
  LintReport report;
  const PictureRows rows = PictureRows::ForEvaluation(options, /*side=*/1);  // no row is written
  const std::int64_t tasks = (source.size() + kRecordsPerTask - 1) / kRecordsPerTask;
  ForEachInOrder(
      tasks, threads,
      [&](std::int64_t task) { return Check(source, task * kRecordsPerTask, rows); },
      [&](const Checked& checked) {
        report.records += checked.records;
        report.healthy += checked.records - std::ssize(checked.bad);
        for (const BadRecord& record : checked.bad) {
          ++report.bad[record.cause];
          on_bad(record);
        }
        if (on_progress) on_progress(report);
      });
  return report;
}

}  // namespace fastclip
