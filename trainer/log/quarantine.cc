#include "trainer/log/quarantine.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>

#include "comm/exchange.h"
#include "pipeline/base/printable.h"

namespace fastclip {
namespace {

struct Entry {
  std::string shard;
  SkippedRecord record;
};

std::optional<Entry> ParseLine(const std::string& text, std::int64_t records) {
  const auto line = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!line.is_object()) return std::nullopt;
  // Before 2026-12 the file was named "shard".
  const auto file = line.find(line.contains("file") ? "file" : "shard");
  const auto index = line.find("index"), cause = line.find("cause");
  if (file == line.end() || !file->is_string() || index == line.end() ||
      !index->is_number_integer() || cause == line.end() || !cause->is_string()) {
    return std::nullopt;
  }
  const auto number = index->get<std::int64_t>();
  const auto named = SkipOfName(cause->get<std::string>());
  if (number < 0 || number >= records || !named) return std::nullopt;
  return Entry{file->get<std::string>(), {SampleIndex{number}, *named}};
}

}  // namespace

Quarantine::Quarantine(const std::string& run_folder, bool keep, const RecordSource& source,
                       Communicator& comm)
    : path_(run_folder + "/quarantine.jsonl"), source_(source) {
  Together(comm, [&] {
    if (comm.rank() != 0) return;
    if (!keep) std::filesystem::remove(path_);
    file_.emplace(path_, AppendFile::Open::kMakeOrContinue);
    file_->CutBackToLine(std::numeric_limits<std::int64_t>::max());
  });
  Together(comm, [&] { Read(); });
}

void Quarantine::Read() {
  std::ifstream file(path_);
  std::int64_t number = 0;
  for (std::string text; std::getline(file, text);) {
    ++number;
    const auto entry = ParseLine(text, source_.size());
    if (!entry) {
      throw std::runtime_error(
          fmt::format("{}:{}: invalid line, or from other data; remove the file, and bad records "
                      "will be listed again",
                      path_, number));
    }
    noted_.insert(ToInt(entry->record.index));
    Count(entry->shard, entry->record.cause);
  }
}

void Quarantine::Count(const std::string& shard, Skip cause) { ++shards_[shard][cause]; }

void Quarantine::Note(std::span<const SkippedRecord> skipped) {
  for (const SkippedRecord& record : skipped) {
    if (noted_.insert(ToInt(record.index)).second) pending_.push_back(record);
  }
}

std::string Quarantine::LineOf(const SkippedRecord& record) const {
  const RecordOrigin origin = source_.OriginOf(record.index);
  const nlohmann::ordered_json line{{"file", origin.file},
                                    {"offset", origin.offset},
                                    {"index", ToInt(record.index)},
                                    {"key", record.key},
                                    {"cause", SkipName(record.cause)}};
  // A file's name need not be UTF-8.
  return line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

void Quarantine::Write(Communicator& comm) {
  std::string mine;
  Together(comm, [&] {
    for (const SkippedRecord& record : pending_) mine += LineOf(record);
  });
  pending_.clear();
  const auto all = GatherTexts(comm, mine);
  Together(comm, [&] {
    if (comm.rank() != 0) return;
    for (const std::string& lines : all) {
      if (lines.empty()) continue;
      owed_ += lines;
      std::istringstream stream(lines);
      for (std::string text; std::getline(stream, text);) {
        if (const auto entry = ParseLine(text, source_.size())) {
          Count(entry->shard, entry->record.cause);
        }
      }
    }
    file_->Append(owed_);
    owed_.clear();
    file_->Sync();
  });
}

std::vector<std::string> Quarantine::WorstShards(std::size_t most) const {
  std::vector<std::pair<std::string, SkipCounts>> shards(shards_.begin(), shards_.end());
  std::ranges::stable_sort(shards, std::greater(),
                           [](const auto& shard) { return shard.second.total(); });
  std::vector<std::string> lines;
  for (const auto& [shard, counts] : shards) {
    if (lines.size() == most) {
      lines.push_back(
          fmt::format("and {} more; see {}", Counted(shards.size() - most, "file"), path_));
      break;
    }
    lines.push_back(fmt::format("{}: {} ({})", shard, Counted(counts.total(), "bad record"),
                                DescribeSkips(counts)));
  }
  return lines;
}

SkipCounts Quarantine::Records() const {
  SkipCounts all{};
  for (const auto& [shard, counts] : shards_) all += counts;
  return all;
}

}  // namespace fastclip
