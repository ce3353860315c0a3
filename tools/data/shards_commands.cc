#include <fmt/format.h>

#include <string>
#include <vector>

#include "pipeline/base/printable.h"
#include "pipeline/sources/open_source.h"
#include "pipeline/sources/record_keys.h"
#include "pipeline/sources/record_sample.h"
#include "tools/cli/cli.h"
#include "tools/cli/progress_line.h"
#include "tools/cli/tell.h"
#include "tools/data/source_report.h"

namespace fastclip {

namespace {

/// What index and info are told.
struct ListOptions {
  std::string list;
  SourceOptions source;
  TableOptions table;
  bool json = false;
};

void AddListOptions(CLI::App& app, ListOptions& options) {
  app.add_option("LIST", options.list, kListHelp)->required();
  app.add_option("--manifest", options.source.manifest, kManifestHelp);
  options.table.AddTo(app);
  app.add_flag("--json", options.json, kJsonHelp);
}

OpenedSource OpenList(ListOptions& options) {
  options.source.table = options.table.Parsed();
  return OpenSourceWithInfo(options.list, options.source);
}

/// Reads and saves the integer key of each record, unless that is done already.
void IndexKeys(const std::string& list, const std::string& field, const SourceOptions& options) {
  ProgressLine line;
  const RecordKeys keys(list, field, options, [&](std::int64_t done, std::int64_t all) {
    line.Show(done, all, "records", "reading " + field);
  });
  line.End();
  if (!keys.is_kept()) {
    throw std::runtime_error(fmt::format(
        "'{}': {} cannot be saved next to the manifest; set --manifest to a writable path", list,
        field));
  }
  const std::string causes = DescribeSkips(keys.without());
  Tell("{}: {}, largest value {}; {} without a value{}\n", field,
       Counted(keys.size() - keys.without_key(), "record"), keys.largest(), keys.without_key(),
       causes.empty() ? "" : " (" + causes + ")");
}

}  // namespace

/// `fastclip shards index`.
int RunIndex(int argc, const char* const* argv) {
  CLI::App app(
      "Creates or updates the index of a list of shards or tables.\n"
      "SHARD.tar.fastclip, next to each shard, holds the offset of each record; a manifest holds\n"
      "the record counts. Shards with the same size and modification time are not read again.",
      "fastclip shards index");
  ListOptions options;
  options.source.renew = true;
  AddListOptions(app, options);
  app.add_flag("--checksum", options.source.add_checksums,
               "read all shards and record a checksum per record, for --verify of lint and replay");
  std::string index_by;
  app.add_option("--index-by", index_by,
                 "read all records and save the integer in this .json field, as in json.key, for a "
                 "run's data.index_by and fastclip estimators");
  app.footer("example: fastclip shards index 'build/quickstart/train/*.tar' --checksum");
  if (!ParseArguments(app, argc, argv)) return 0;
  const OpenedSource opened = OpenList(options);
  for (const PartInfo& part : opened.parts) {
    if (part.files == 0 || !part.manifest.empty()) continue;
    throw std::runtime_error(fmt::format(
        "{}: {}", part.part,
        part.notes.empty() ? "a " + part.kind + " needs no index" : part.notes.front()));
  }
  if (!index_by.empty()) IndexKeys(options.list, index_by, options.source);
  PrintSource(opened, options.json);
  return 0;
}

/// `fastclip shards info`.
int RunInfo(int argc, const char* const* argv) {
  CLI::App app(
      "Shows what a list contains, and warnings about it: files, records, images with captions or\n"
      "labels, hash, manifest, checksums. Files without an index are indexed first.",
      "fastclip shards info");
  ListOptions options;
  AddListOptions(app, options);
  app.footer(
      "example: fastclip shards info 'build/quickstart/train/*.tar::build/quickstart/heldout.tsv' "
      "--json");
  if (!ParseArguments(app, argc, argv)) return 0;
  const OpenedSource opened = OpenList(options);
  PrintSource(opened, options.json, SampleRecords(*opened.source));
  return 0;
}

}  // namespace fastclip
