#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "pipeline/base/printable.h"
#include "pipeline/sources/open_source.h"
#include "pipeline/sources/record_keys.h"
#include "pipeline/sources/record_sample.h"
#include "tools/cli/cli.h"
#include "tools/cli/command.h"
#include "tools/cli/progress_line.h"
#include "tools/cli/tell.h"

namespace fastclip {

// Each is defined in the file of its name.
int RunConvert(int argc, const char* const* argv);
int RunLint(int argc, const char* const* argv);
int RunReplay(int argc, const char* const* argv);
namespace {

constexpr const char* kListHelp =
    "tar shards with braces and globs ('cc3m/{00000..00331}.tar'), a table (.tsv .csv .jsonl, "
    "also .gz) of image path and caption, a .txt of such names, or synthetic:N; joined by '::'";

std::string Bytes(std::int64_t bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; value >= 1024 && unit + 1 < std::size(kUnits); ++unit) value /= 1024;
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, kUnits[unit]);
}

void PrintPart(const PartInfo& part, const RecordSample* sample) {
  fmt::print("{}\n", Printable(part.part));
  fmt::print("  {:<9} {}{}\n", "kind", part.kind,
             part.details.empty() ? "" : ": " + Printable(part.details));
  if (part.files > 0)
    fmt::print("  {:<9} {}{}\n", "files", part.files,
               part.bytes > 0 ? fmt::format(" ({})", Bytes(part.bytes)) : "");
  fmt::print("  {:<9} {}\n  {:<9} {:016x}\n", "records", part.records, "hash", part.hash);
  if (sample != nullptr) fmt::print("  {:<9} {}\n", "content", DescribeContent(*sample));
  if (part.files > 0) {
    fmt::print(
        "  {:<9} {}{}\n", "manifest", part.manifest.empty() ? "none" : Printable(part.manifest),
        part.walked > 0 ? fmt::format(" ({} indexed now)", Counted(part.walked, "file")) : "");
  }
  if (part.kind == "tar") {
    fmt::print("  {:<9} {}\n", "checksums",
               part.checksummed == 0 ? "none"
               : part.checksummed == part.files
                   ? "of all records"
                   : fmt::format("in {}", Counted(part.checksummed, "file")));
  }
  const auto say = [](const char* what, const std::vector<std::string>& lines) {
    for (const std::string& line : lines) fmt::print("  {:<9} {}\n", what, Printable(line));
  };
  say("warning", part.warnings);
  say("note", part.notes);
}

/// `samples`: of all parts, or none.
nlohmann::ordered_json ToJson(const OpenedSource& opened,
                              const std::vector<RecordSample>& samples) {
  nlohmann::ordered_json json;
  json["records"] = opened.source->size();
  json["hash"] = fmt::format("{:016x}", opened.source->hash());
  json["parts"] = nlohmann::ordered_json::array();
  for (const PartInfo& part : opened.parts) {
    json["parts"].push_back({{"list", part.part},
                             {"kind", part.kind},
                             {"details", part.details},
                             {"files", part.files},
                             {"bytes", part.bytes},
                             {"records", part.records},
                             {"hash", fmt::format("{:016x}", part.hash)},
                             {"manifest", part.manifest},
                             {"damaged_bytes", part.damaged_bytes},
                             {"checksummed", part.checksummed},
                             {"indexed_now", part.walked},
                             {"warnings", part.warnings},
                             {"notes", part.notes}});
    const std::size_t number = json["parts"].size() - 1;
    if (!samples.empty()) json["parts"].back()["content"] = DescribeContent(samples.at(number));
  }
  return json;
}

void PrintSource(const OpenedSource& opened, bool json,
                 const std::vector<RecordSample>& samples = {}) {
  if (json) {
    fmt::print(
        "{}\n",
        ToJson(opened, samples).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
    return;
  }
  for (std::size_t i = 0; i < opened.parts.size(); ++i) {
    PrintPart(opened.parts[i], samples.empty() ? nullptr : &samples.at(i));
  }
  if (opened.parts.size() > 1) {
    fmt::print("together\n  {:<9} {}\n  {:<9} {:016x}\n", "records", opened.source->size(), "hash",
               opened.source->hash());
  }
}

/// Reads the records' integers, if they are not kept yet.
void IndexKeys(const std::string& list, const std::string& field, const SourceOptions& options) {
  ProgressLine line;
  const RecordKeys keys(list, field, options, [&](std::int64_t done, std::int64_t all) {
    line.Show(done, all, "records", "reading " + field);
  });
  line.End();
  if (!keys.is_kept()) {
    throw std::runtime_error(fmt::format(
        "'{}': {} was read and cannot be kept beside the manifest; name another with --manifest",
        list, field));
  }
  const std::string causes = DescribeSkips(keys.without());
  Tell("{}: {}, the largest is {}; {} without one{}\n", field,
       Counted(keys.size() - keys.without_key(), "record"), keys.largest(), keys.without_key(),
       causes.empty() ? "" : " (" + causes + ")");
}

int RunIndex(int argc, const char* const* argv) {
  CLI::App app(
      "Looks up where each record lies and keeps that beside each shard (SHARD.tar.fastclip), and\n"
      "their numbers in a manifest. Shards that kept size and time are not read again.",
      "fastclip shards index");
  std::string list;
  SourceOptions options;
  TableOptions table;
  options.renew = true;
  bool json = false;
  app.add_option("LIST", list, kListHelp)->required();
  app.add_option(
      "--manifest", options.manifest,
      "file to keep it in, beside it a folder FILE.places; otherwise beside the shards. With "
      "several parts FILE.0, FILE.1, …");
  app.add_flag("--checksum", options.add_checksums,
               "read the shards whole and keep a checksum of each record, for --verify of lint and "
               "replay");
  std::string index_by;
  app.add_option(
      "--index-by", index_by,
      "read all records and keep the integer in this field of their .json, json.key say: "
      "for data.index_by of a run and fastclip estimators");
  table.AddTo(app);
  app.add_flag("--json", json, "one JSON object");
  app.footer("example: fastclip shards index 'cc3m/{00000..00331}.tar'");
  if (!ParseArguments(app, argc, argv)) return 0;
  options.table = table.Parsed();
  const OpenedSource opened = OpenSourceWithInfo(list, options);
  for (const PartInfo& part : opened.parts) {
    if (part.files == 0 || !part.manifest.empty()) continue;
    throw std::runtime_error(fmt::format(
        "{}: {}", part.part,
        part.notes.empty() ? "a " + part.kind + " needs no index" : part.notes.front()));
  }
  if (!index_by.empty()) IndexKeys(list, index_by, options);
  PrintSource(opened, json);
  return 0;
}

int RunInfo(int argc, const char* const* argv) {
  CLI::App app(
      "Shows what a list holds: files, records, pictures with captions or labels, hash, manifest,\n"
      "checksums, and what is wrong with it. Indexes what is not indexed yet.",
      "fastclip shards info");
  std::string list;
  SourceOptions options;
  TableOptions table;
  bool json = false;
  app.add_option("LIST", list, kListHelp)->required();
  app.add_option("--manifest", options.manifest,
                 "manifest to use instead of the one beside the shards");
  table.AddTo(app);
  app.add_flag("--json", json, "one JSON object");
  app.footer("example: fastclip shards info 'cc3m/*.tar::mine.tsv' --json");
  if (!ParseArguments(app, argc, argv)) return 0;
  options.table = table.Parsed();
  const OpenedSource opened = OpenSourceWithInfo(list, options);
  PrintSource(opened, json, SampleRecords(*opened.source));
  return 0;
}

const Command kVerbs[] = {
    {"convert", "pack a table of image and caption into shards", RunConvert},
    {"index", "make or renew the manifest of a list", RunIndex},
    {"info", "what a list holds, and what is wrong with it", RunInfo},
    {"lint", "decode every record; what is bad, and where", RunLint},
    {"replay", "the hashes of an epoch's global batches", RunReplay},
};

}  // namespace

/// `fastclip shards VERB …`: makes, indexes and shows shards. Verbs are a table here.
int RunShards(int argc, const char* const* argv) {
  return RunVerb("shards", kVerbs, "", "fastclip shards info 'cc3m/{00000..00331}.tar'", argc,
                 argv);
}

}  // namespace fastclip
