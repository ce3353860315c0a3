#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>

#include "pipeline/base/printable.h"
#include "pipeline/base/suggested_command.h"
#include "pipeline/convert/convert.h"
#include "pipeline/loader/compute_pool.h"
#include "pipeline/records/class_names.h"
#include "pipeline/sources/open_source.h"
#include "pipeline/sources/table_layout.h"
#include "tools/cli/cli.h"
#include "tools/cli/progress_line.h"
#include "tools/cli/tell.h"
#include "tools/cli/usage_error.h"

namespace fastclip {
namespace {

using Clock = std::chrono::steady_clock;

Rgb ParseColour(std::string_view text) {
  std::string_view digits = text;
  if (digits.starts_with('#')) digits.remove_prefix(1);
  const bool is_hex = digits.size() == 6 &&
                      digits.find_first_not_of("0123456789abcdefABCDEF") == std::string_view::npos;
  if (!is_hex)
    throw UsageError(
        fmt::format("--background must be six hex digits, as in ffffff, not '{}'", text));
  const auto value = static_cast<std::uint32_t>(std::stoul(std::string(digits), nullptr, 16));
  return {static_cast<std::uint8_t>(value >> 16), static_cast<std::uint8_t>(value >> 8),
          static_cast<std::uint8_t>(value)};
}

void PrintReport(const ConvertReport& report, const std::string& out_dir, double seconds,
                 bool of_table) {
  fmt::print("{}: {} of {} in {}, {:.1f} MiB, {:.1f} s ({:.0f} rows/s)\n", out_dir,
             report.done.written, Counted(report.done.rows, "row"), Counted(report.shards, "shard"),
             static_cast<double>(report.done.bytes) / (1 << 20), seconds,
             static_cast<double>(report.done.rows) / std::max(seconds, 1e-9));
  for (const Skip cause : kAllSkips) {
    const std::int64_t count = report.skips[cause];
    if (count == 0) continue;
    fmt::print("skipped, {}: {}{}\n", SkipName(cause), count,
               of_table ? " (rows are counted from 0, without the header)" : "");
    static constexpr int kShown = 20;
    int shown = 0;
    for (const auto& skipped : report.skipped) {
      if (skipped.cause != cause || shown++ >= kShown) continue;
      fmt::print("  {} {}: {}\n", of_table ? "row" : "record", skipped.row, Printable(skipped.key));
    }
    if (count > kShown)
      fmt::print("  and {} more, listed in {}/convert.json\n", count - kShown, out_dir);
  }
  if (const std::int64_t skipped = report.done.rows - report.done.written; skipped > 0) {
    fmt::print("warning: {} of {} not in the shards; {}/convert.json lists them\n", skipped,
               report.done.rows == 1 ? "1 row is" : fmt::format("{} rows are", report.done.rows),
               out_dir);
  }
  for (const std::string& note : report.notes) fmt::print("{}\n", Printable(note));
}

/// The lines of classes.txt for `eval zeroshot --classes`: the folders' names in the order of the
/// labels.
std::string ClassLines(const std::vector<std::string>& classes) {
  std::string lines;
  for (const std::string& name : classes) lines += Printable(name) + "\n";
  std::ranges::replace(lines, '_', ' ');
  return lines;
}

void PrintJson(const ConvertReport& report, const std::string& out_dir, double seconds) {
  nlohmann::ordered_json json = {
      {"out", out_dir},          {"rows", report.done.rows},   {"records", report.done.written},
      {"shards", report.shards}, {"bytes", report.done.bytes}, {"seconds", seconds}};
  for (const Skip cause : kAllSkips) json["left_out"][SkipName(cause)] = report.skips[cause];
  json["notes"] = report.notes;
  fmt::print("{}\n", json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

}  // namespace

/// `fastclip shards convert TABLE OUT_DIR …`.
int RunConvert(int argc, const char* const* argv) {
  CLI::App app(
      "Packs image-caption pairs into WebDataset shards: OUT_DIR/00000.tar, 00001.tar, …\n"
      "If TABLE is a list of shards, records keep all their files, names and bytes, except images\n"
      "that are encoded again. OUT_DIR appears when it is complete. Skipped rows are counted and\n"
      "listed.",
      "fastclip shards convert");
  std::string table, out_dir, background;
  SourceOptions source_options;
  source_options.renew = true;  // reads the current files: no index is kept
  PictureOptions pictures;
  TableOptions columns;
  ConvertOptions options;
  options.threads =
      std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, kMostThreads);
  std::string encode;
  bool json = false;
  app.add_option(
         "TABLE", table,
         "a .tsv, .csv or .jsonl (also .gz) with columns filepath (or image, path, file_name, …) "
         "and "
         "caption (or title, text), or those set by --image-key and --caption-key; or a list of "
         "shards; or a folder of classes, which gives .cls labels and OUT_DIR/classes.txt")
      ->required();
  app.add_option("OUT_DIR", out_dir, "folder to create, or an empty folder")->required();
  app.add_option("--records-per-shard", options.records_per_shard, "maximum records per shard")
      ->capture_default_str();
  app.add_option(
         "--max-bytes", options.max_bytes,
         "start a new shard after the record that takes a shard over this size, as in 256MB (" +
             std::string(kSizeHelp) + "); default: no limit")
      ->transform(AsBytes())
      ->type_name("SIZE");
  app.add_option(
         "--resize", options.resize,
         "resize larger images to this shorter side in pixels; 0: keep all sizes. Images that are "
         "not encoded again are copied without a check; fastclip shards lint finds damaged ones")
      ->capture_default_str();
  app.add_option("--encode", encode,
                 "encode images as jpg or png; default: keep the bytes, or jpg with --resize, "
                 "--background or --exif-rotate")
      ->check(OneOf({"jpg", "png"}));
  app.add_option("--quality", options.quality, "JPEG quality, 1 to 100")->capture_default_str();
  app.add_option(
      "--background", background,
      "color behind transparent pixels in hex, as in ffffff; default: drop the alpha channel");
  app.add_option("--max-pixels", options.decode.max_pixels, kMaxPixelsHelp)->capture_default_str();
  pictures.AddTo(app);
  columns.AddTo(app);
  app.add_option("--threads", options.threads, "CPU threads; the output does not depend on it")
      ->check(Between(1, kMostThreads))
      ->capture_default_str();
  app.add_flag("--json", json, kJsonHelp);
  app.footer(
      "example: fastclip shards convert build/quickstart/train.tsv shards/train --resize 256 "
      "--encode jpg "
      "--background ffffff");
  if (!ParseArguments(app, argc, argv)) return 0;
  if (!background.empty()) options.background = ParseColour(background);
  pictures.Apply(source_options, options.decode);
  source_options.table = columns.Parsed();
  source_options.refuse_missing_images = true;
  const bool changes =
      options.resize > 0 || options.background.has_value() || options.decode.exif_rotate;
  options.encoding = encode == "png"              ? Encoding::kPng
                     : encode == "jpg" || changes ? Encoding::kJpeg
                                                  : Encoding::kKeep;
  if (app.count("--quality") > 0 && options.encoding != Encoding::kJpeg) {
    throw UsageError("--quality needs JPEG output; add --encode jpg");
  }

  ConvertFolder folder(out_dir);  // before the source is scanned
  if (!folder.removed().empty()) Tell("{}\n", folder.removed());
  const std::vector<std::string> classes = ClassesOfList(table);
  if (!classes.empty()) source_options.class_names = std::make_shared<ClassNames>(classes);
  options.class_lines = ClassLines(classes);
  const OpenedSource opened = OpenSourceWithInfo(table, source_options);
  for (const std::string& line : WarningLines(opened.parts)) Tell("{}\n", line);
  const auto start = Clock::now();
  ProgressLine line;
  ConvertReport report;
  try {
    report = Convert(*opened.source, folder, options, [&](const ConvertProgress& progress) {
      line.Show(progress.rows, progress.rows_total, "rows",
                fmt::format("{} skipped", progress.rows - progress.written));
    });
  } catch (const std::invalid_argument& error) {
    throw UsageError(error.what());
  }
  line.End();
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  while (out_dir.size() > 1 && out_dir.ends_with('/')) out_dir.pop_back();
  if (options.encoding == Encoding::kKeep) {
    report.notes.push_back("images were copied without decoding them; damaged ones are found by " +
                           SuggestedCommand("shards lint " + ShellWord(out_dir + "/*.tar")));
  }
  json ? PrintJson(report, out_dir, seconds)
       : PrintReport(report, out_dir, seconds, TableFormatOf(table).has_value());
  return 0;
}

}  // namespace fastclip
