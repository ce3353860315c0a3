#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "pipeline/base/printable.h"
#include "pipeline/convert/lint.h"
#include "pipeline/files/output_file.h"
#include "pipeline/loader/compute_pool.h"
#include "pipeline/records/class_names.h"
#include "pipeline/sources/open_source.h"
#include "pipeline/sources/record_sample.h"
#include "pipeline/sources/skip_advice.h"
#include "pipeline/sources/table_layout.h"
#include "tools/cli/cli.h"
#include "tools/cli/progress_line.h"
#include "tools/cli/tell.h"
#include "tools/cli/usage_error.h"

namespace fastclip {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kNamed = 20;

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string LineOf(const BadRecord& record) {
  return Dump({{"file", record.origin.file},
               {"offset", record.origin.offset},
               {"index", ToInt(record.index)},
               {"key", record.key},
               {"cause", SkipName(record.cause)}}) +
         "\n";
}

const OutputKind kBadRecords = {"a list of bad records that lint wrote", [](std::string_view head) {
                                  const std::string_view line = head.substr(0, head.find('\n'));
                                  return line.starts_with("{\"file\":") &&
                                         line.find("\"cause\":") != std::string_view::npos;
                                }};

/// Without the notes, which are not faults of the data (an index that cannot be written, say).
std::vector<PartInfo> OnlyFaults(std::vector<PartInfo> parts) {
  for (PartInfo& part : parts) part.notes.clear();
  return parts;
}

}  // namespace

/// `fastclip shards lint`: exit code 0 if all records and shards are valid, else 1.
int RunLint(int argc, const char* const* argv) {
  CLI::App app(
      "Reads every record, decodes its image and lists what training would skip, by cause.\n"
      "Exit code 0: all records are healthy and no shard is truncated or damaged; 1: otherwise.",
      "fastclip shards lint");
  std::string list, out;
  SourceOptions source_options;
  CaptionOptions captions;
  TableOptions table;
  PictureOptions pictures;
  DecodeOptions decode;
  int threads = std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, kMostThreads);
  bool json = false, labels = false;
  std::string label_key;
  app.add_option("LIST", list, kListHelp)->required();
  app.add_option(
      "--out", out,
      "write one JSON line per bad record (file, offset, index, key, cause) to this file; "
      "-: standard output");
  app.add_option("--max-pixels", decode.max_pixels, kMaxPixelsHelp)->capture_default_str();
  pictures.AddTo(app);
  captions.AddTo(app);
  table.AddTo(app);
  app.add_flag("--labels", labels,
               "check for labels instead of captions; default for a list that has labels and no "
               "captions");
  app.add_option("--label-key", label_key, std::string(kLabelKeyHelp) + "; implies --labels");
  app.add_option("--manifest", source_options.manifest, kManifestHelp);
  app.add_flag("--verify", source_options.verify_checksums, kVerifyHelp);
  app.add_option("--threads", threads, kThreadsHelp)
      ->check(Between(1, kMostThreads))
      ->capture_default_str();
  app.add_flag("--json", json, kJsonHelp);
  app.footer("example: fastclip shards lint 'build/quickstart/train/*.tar' --out bad.jsonl");
  if (!ParseArguments(app, argc, argv)) return 0;

  if (labels || !label_key.empty()) {
    if (!captions.keys.empty() || captions.lines != "auto") {
      throw UsageError(
          "--labels and --label-key cannot be combined with --captions or --caption-lines");
    }
    source_options.labels = label_key;
    source_options.class_names = ClassNames::Any();
  }
  source_options.captions = captions.Parsed();
  source_options.table = table.Parsed();
  source_options.caption_lines = captions.LinesOr(CaptionLines::kWhole);
  pictures.Apply(source_options, decode);
  std::optional<OutputFile> file;
  if (!out.empty()) file.emplace(out, kBadRecords);
  std::FILE* const to = file && file->is_stdout() ? stderr : stdout;
  OpenedSource opened = OpenSourceWithInfo(list, source_options);
  // A classification set has labels and needs no captions.
  if (!source_options.labels && source_options.captions.empty() &&
      std::ranges::all_of(SampleRecords(*opened.source), &RecordSample::OnlyLabels)) {
    source_options.labels = "";
    source_options.class_names = ClassNames::Any();
    opened = OpenSourceWithInfo(list, source_options);
  }
  for (const std::string& line : WarningLines(opened.parts)) Tell("{}\n", line);
  ProgressLine progress;
  std::int64_t named = 0;
  const LintReport report = Lint(
      *opened.source, decode, threads,
      [&](const BadRecord& record) {
        if (file) file->Append(LineOf(record));
        if (json || named++ >= kNamed) return;
        progress.End();
        const std::string place =
            TableFormatOf(record.origin.file)
                ? fmt::format("row {}, counted from 0 without the header", record.origin.offset)
                : fmt::format("record {} at byte {}", ToInt(record.index), record.origin.offset);
        fmt::print(to, "{}: {}{}: {}\n", Printable(record.origin.file), place,
                   record.key.empty() ? "" : " (" + Printable(record.key) + ")",
                   SkipName(record.cause));
      },
      [&](const LintReport& so_far) {
        progress.Show(so_far.records, opened.source->size(), "records",
                      fmt::format("{} bad", so_far.records - so_far.healthy));
      });
  progress.End();
  if (file) file->Commit();
  const std::int64_t bad = report.records - report.healthy;
  if (json) {
    Json causes = Json::object();
    for (const Skip cause : kAllSkips) {
      if (report.bad[cause] > 0) causes[SkipName(cause)] = report.bad[cause];
    }
    Json all = {{"records", report.records},
                {"healthy", report.healthy},
                {"bad", causes},
                {"warnings", WarningLines(OnlyFaults(opened.parts))}};
    if (source_options.labels) all["judged_by"] = "labels";
    fmt::print(to, "{}\n", Dump(all));
  } else {
    if (named > kNamed) {
      fmt::print(to, "and {} more; --out FILE lists all\n", named - kNamed);
    }
    fmt::print(to, "{}, {} healthy; bad: {}{}\n", Counted(report.records, "record"), report.healthy,
               bad == 0 ? "none" : DescribeSkips(report.bad),
               source_options.labels ? " (checked for labels, not captions)" : "");
    for (const Skip cause : kAllSkips) {
      if (report.bad[cause] > 0) fmt::print(to, "  {}: {}\n", SkipName(cause), SkipMeaning(cause));
    }
    for (const std::string& line :
         AdviceOnSkips(report.bad, *opened.source, source_options.formats, "--formats")) {
      fmt::print(to, "{}\n", line);
    }
  }
  return bad == 0 && WarningLines(OnlyFaults(opened.parts)).empty() ? 0 : 1;
}

}  // namespace fastclip
