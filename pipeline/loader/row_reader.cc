#include "pipeline/loader/row_reader.h"

#include <fmt/format.h>

#include <map>
#include <stdexcept>
#include <string>
#include <utility>

#include "pipeline/base/printable.h"
#include "pipeline/base/suggested_command.h"
#include "pipeline/files/system_memory.h"

namespace fastclip {
namespace {

std::int64_t BytesOf(const Record& record) {
  auto bytes = static_cast<std::int64_t>(record.image.size());
  for (const Caption& caption : record.captions) {
    bytes += static_cast<std::int64_t>(caption.text.size());
  }
  return bytes;
}

}  // namespace

SkipCounts CountsOf(const std::vector<SkippedRecord>& skipped) {
  SkipCounts counts{};
  for (const SkippedRecord& record : skipped) ++counts[record.cause];
  return counts;
}

std::runtime_error TooManySkips(const SkipCounts& counts, SampleIndex last) {
  return std::runtime_error(
      fmt::format("{} in a row cannot be used ({}), up to record {}; repair the data "
                  "({} lists bad records), or raise pipeline.max_skips_in_a_row",
                  Counted(counts.total(), "record"), DescribeSkips(counts), ToInt(last),
                  SuggestedCommand("shards lint")));
}

RowReader::RowReader(const RecordSource& source, const BatchFeed& feed,
                     const LoaderOptions& options, const LoaderRuntime& runtime,
                     StageCounters& counters)
    : source_(source),
      feed_(feed),
      options_(options),
      runtime_(runtime),
      counters_(counters),
      read_ahead_bytes_(options.read_ahead_bytes < 0 ? AvailableMemory() / 2 / options.ranks_of_host
                                                     : options.read_ahead_bytes) {}

void RowReader::ReadAhead(const RowSearch& row) const {
  if (row.attempt > 0 || read_ahead_bytes_ == 0) return;
  const auto ahead = feed_.Ahead(row.batch, row.row);
  if (!ahead) return;
  const auto [records, bytes, seconds] = counters_.read.Get();  // so far: what a record has
  if (records == 0 || bytes / records * feed_.records_ahead() > read_ahead_bytes_) return;
  source_.ReadAhead(ahead->first, ahead->count);
}

RowReader::Outcome RowReader::Read(RowSearch& row, const std::stop_token& stop) const {
  while (!stop.stop_requested()) {
    const auto start = std::chrono::steady_clock::now();
    ReadAhead(row);
    const auto plan = PlanOf(row);
    if (!plan) {
      ++row.attempt;
      continue;
    }
    row.plan = *plan;
    if (auto known = Known(plan->index)) {
      if (!Next(row, std::move(*known))) return Outcome::kLeftOut;
      continue;
    }
    if (runtime_.before_stage) runtime_.before_stage(LoaderStage::kRead);
    row.block = source_.Read(plan->index, 1, stop);
    const Record& record = row.block.records.at(0);
    row.bytes = BytesOf(record);
    counters_.read.Add(start, row.bytes);
    if (!record.skip) {
      row.bytes += DecodeMemory(record.image, options_.decode);
      return Outcome::kFound;
    }
    if (!PassOver(row, *record.skip)) return Outcome::kLeftOut;
  }
  return Outcome::kStopped;
}

bool RowReader::PassOver(RowSearch& row, Skip cause) const {
  // What is missing may come back, and what changed may be put right: that is a matter of the disk,
  // and of what was asked for, not of the data.
  SkippedRecord skipped{row.plan.index, cause, std::string(row.block.records.at(0).key)};
  if (runtime_.known_bad != nullptr && cause != Skip::kMissing && cause != Skip::kChanged) {
    runtime_.known_bad->Add(skipped);
  }
  return Next(row, std::move(skipped));
}

bool RowReader::Next(RowSearch& row, SkippedRecord skipped) const {
  row.skipped.push_back(std::move(skipped));
  ++row.attempt;
  row.block = {};
  if (!feed_.substitutes()) return false;
  if (std::ssize(row.skipped) >= options_.max_skips_in_a_row) {
    GiveUp(row);
    throw TooManySkips(CountsOf(row.skipped), row.plan.index);
  }
  return true;
}

std::optional<RowPlan> RowReader::PlanOf(const RowSearch& row) const {
  try {
    return feed_.Plan(row.batch, row.row, row.attempt);
  } catch (const WindowUsedUp& error) {
    if (row.skipped.empty()) throw;
    GiveUp(row);
    throw WindowUsedUp(fmt::format("{} (tried: {}{})", error.what(),
                                   DescribeSkips(CountsOf(row.skipped)), DescribeBad()));
  }
}

std::string RowReader::DescribeBad() const {
  if (runtime_.known_bad == nullptr || runtime_.given_up == nullptr) return "";
  std::map<SampleIndex, SkippedRecord> bad;
  for (const KnownBad* list : {runtime_.known_bad, runtime_.given_up}) {
    for (SkippedRecord& record : list->All()) bad.emplace(record.index, std::move(record));
  }
  SkipCounts counts;
  for (const auto& [index, record] : bad) ++counts[record.cause];
  return fmt::format("; bad so far: {} of {} ({}); quarantine.jsonl in the run folder lists them",
                     counts.total(), Counted(source_.size(), "record"), DescribeSkips(counts));
}

void RowReader::GiveUp(const RowSearch& row) const {
  if (runtime_.given_up == nullptr) return;
  for (const SkippedRecord& record : row.skipped) runtime_.given_up->Add(record);
}

std::optional<SkippedRecord> RowReader::Known(SampleIndex index) const {
  return runtime_.known_bad == nullptr ? std::nullopt : runtime_.known_bad->Find(index);
}

}  // namespace fastclip
