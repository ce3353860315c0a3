#include "pipeline/convert/convert.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <stdexcept>
#include <vector>

#include "pipeline/base/in_order.h"
#include "pipeline/base/suggested_command.h"
#include "pipeline/convert/shard_sequence.h"
#include "pipeline/files/atomic_file.h"
#include "pipeline/loader/compute_pool.h"
#include "pipeline/shards/tar_scan.h"
#include "pipeline/sources/skip_advice.h"

namespace fastclip {
namespace {

namespace fs = std::filesystem;

/// Rows that one task reads and encodes.
constexpr std::int64_t kRowsPerTask = 16;

using Json = nlohmann::ordered_json;

/// Why a record is left out before its picture is looked at. One with a label needs no caption.
std::optional<Skip> CauseOf(const StoredRecord& stored) {
  const Record& record = stored.record();
  const bool labelled =
      record.label >= 0 || std::ranges::any_of(stored.members, [](const StoredMember& member) {
        return RoleOf(SplitMemberName(member.path)->field) == Role::kLabel;
      });
  return record.skip == Skip::kNoCaption && labelled ? std::nullopt : record.skip;
}

std::vector<PackedRow> PackRows(const RecordSource& source, std::int64_t first,
                                const ConvertOptions& options) {
  std::vector<PackedRow> rows;
  for (std::int64_t i = first; i < std::min(first + kRowsPerTask, source.size()); ++i) {
    PackedRow& row = rows.emplace_back();
    row.stored = source.ReadStored(SampleIndex{i}, {});
    if (const auto cause = CauseOf(row.stored)) {
      row.picture = *cause;
    } else {
      row.picture = PackPicture(row.stored.record().image, options);
    }
  }
  return rows;
}

void Check(const ConvertOptions& options) {
  const auto require = [](bool ok, const char* reason) {
    if (!ok) throw std::invalid_argument(reason);
  };
  require(options.records_per_shard >= 1 && options.records_per_shard <= 10'000'000,
          "records per shard must be 1 to 10,000,000");
  require(options.max_bytes >= 0 && options.resize >= 0,
          "bytes per shard and size cannot be negative");
  require(options.quality >= 1 && options.quality <= 100, "quality must be 1 to 100");
  require(options.threads >= 1 && options.threads <= kMostThreads, "threads must be 1 to 256");
  const bool changes =
      options.resize > 0 || options.background.has_value() || options.decode.exif_rotate;
  require(options.encoding != Encoding::kKeep || !changes,
          "resize, background and exif-rotate need an encoding: jpg or png");
}

/// What else is to be told, a line each.
std::vector<std::string> NotesOf(const ConvertReport& report) {
  std::vector<std::string> notes;
  const auto note = [&](std::int64_t count, const char* one, const char* more) {
    if (count > 0) notes.push_back(fmt::format(fmt::runtime(count == 1 ? one : more), count));
  };
  note(report.renamed, "{} record got a new key because its key was already in the shard",
       "{} records got new keys because their keys were already in the shard");
  if (report.renamed > 0) notes.back() += ": " + report.first_renamed;
  note(report.replaced, "{} member was left out because the new image has its name",
       "{} members were left out because the new image has their name");
  if (!report.moved_fields.empty()) {
    notes.push_back(
        fmt::format("convert writes {0} to the .json; columns of the same name are stored there "
                    "with the prefix source_",
                    fmt::join(report.moved_fields, ", ")));
  }
  note(report.bad_labels,
       "{} label is not an integer >= 0; it is in the .json, and there is no .cls",
       "{} labels are not integers >= 0; they are in the .json, and there is no .cls");
  note(report.broken_captions,
       "{} caption has line breaks; evaluations read each line of a .txt as a caption, unless "
       "--caption-lines or data.caption_lines is whole",
       "{} captions have line breaks; evaluations read each line of a .txt as a caption, unless "
       "--caption-lines or data.caption_lines is whole");
  note(report.others, "{} file in the shards does not belong to a record and was left out",
       "{} files in the shards do not belong to a record and were left out");
  return notes;
}

void Write(const fs::path& path, std::string_view text) {
  AtomicFile file(path.string());
  file.Append(std::as_bytes(std::span(text)));
  file.Commit();
}

void WriteReport(const fs::path& path, const ConvertReport& report) {
  Json json = {{"rows", report.done.rows},
               {"records", report.done.written},
               {"shards", report.shards},
               {"bytes", report.done.bytes}};
  for (const Skip cause : kAllSkips) json["left_out"][SkipName(cause)] = report.skips[cause];
  json["named"] = Json::array();
  for (const auto& [row, key, cause] : report.skipped) {
    json["named"].push_back({{"row", row}, {"source", key}, {"cause", SkipName(cause)}});
  }
  json["notes"] = report.notes;
  Write(path, json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n");
}

}  // namespace

ConvertReport Convert(const RecordSource& source, ConvertFolder& folder,
                      const ConvertOptions& options,
                      const std::function<void(const ConvertProgress&)>& on_progress) {
  Check(options);
  ConvertReport report;
  report.done.rows_total = source.size();
  ShardSequence shards(folder.unfinished(), options, report);

  const std::int64_t tasks = (source.size() + kRowsPerTask - 1) / kRowsPerTask;
  ForEachInOrder(
      tasks, options.threads,
      [&](std::int64_t task) { return PackRows(source, task * kRowsPerTask, options); },
      [&](const std::vector<PackedRow>& rows) {
        for (const PackedRow& row : rows) shards.Add(row);
        if (on_progress) on_progress(report.done);
      });
  shards.Close();
  const std::vector<std::string> advice =
      AdviceOnSkips(report.skips, source, options.decode.formats, "--formats");
  if (report.done.written == 0) {
    throw std::runtime_error(fmt::format(
        "no row can be packed ({} read); the first is '{}' ({}); {}", report.done.rows,
        report.skipped.front().key, SkipName(report.skipped.front().cause),
        advice.empty() ? SuggestedCommand("shards lint") + " lists all" : advice.front()));
  }
  report.notes = NotesOf(report);
  report.notes.insert(report.notes.end(), advice.begin(), advice.end());
  if (!options.class_lines.empty()) Write(folder.unfinished() / "classes.txt", options.class_lines);
  WriteReport(folder.unfinished() / "convert.json", report);
  folder.Finish();
  return report;
}

}  // namespace fastclip
