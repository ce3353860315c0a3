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
#include "pipeline/convert/convert.h"
#include "pipeline/loader/compute_pool.h"
#include "pipeline/records/class_names.h"
#include "pipeline/sources/open_source.h"
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
    throw UsageError(fmt::format("--background {}: write six hex digits, as in ffffff", text));
  const auto value = static_cast<std::uint32_t>(std::stoul(std::string(digits), nullptr, 16));
  return {static_cast<std::uint8_t>(value >> 16), static_cast<std::uint8_t>(value >> 8),
          static_cast<std::uint8_t>(value)};
}

void PrintReport(const ConvertReport& report, const std::string& out_dir, double seconds) {
  fmt::print("{}: {} of {} in {}, {:.1f} MiB, {:.1f} s ({:.0f} rows/s)\n", out_dir,
             report.done.written, Counted(report.done.rows, "row"), Counted(report.shards, "shard"),
             static_cast<double>(report.done.bytes) / (1 << 20), seconds,
             static_cast<double>(report.done.rows) / std::max(seconds, 1e-9));
  for (const Skip cause : kAllSkips) {
    const std::int64_t count = report.skips[cause];
    if (count == 0) continue;
    fmt::print("left out, {}: {}\n", SkipName(cause), count);
    static constexpr int kShown = 20;
    int shown = 0;
    for (const auto& skipped : report.skipped) {
      if (skipped.cause != cause || shown++ >= kShown) continue;
      fmt::print("  row {}: {}\n", skipped.row, Printable(skipped.key));
    }
    if (count > kShown) fmt::print("  and {} more: {}/convert.json\n", count - kShown, out_dir);
  }
  for (const std::string& note : report.notes) fmt::print("{}\n", Printable(note));
}

/// For --classes: the names of the folders, whose lines are the labels, as eval zeroshot reads them
/// of the folders themselves.
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
      "Packs pairs of image and caption into WebDataset shards OUT_DIR/00000.tar, 00001.tar, …\n"
      "Records of shards keep all their files, names and bytes, but for pictures that are encoded\n"
      "anew. The folder appears complete or not at all; what cannot be packed is counted and "
      "named.",
      "fastclip shards convert");
  std::string table, out_dir, background;
  SourceOptions source_options;
  source_options.renew = true;  // what is there is read: no index outlives the command
  PictureOptions pictures;
  TableOptions columns;
  ConvertOptions options;
  options.threads =
      std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, kMostThreads);
  std::string encode;
  bool json = false;
  app.add_option(
         "TABLE", table,
         "a .tsv, .csv or .jsonl (or .gz of it) with columns filepath (or image, path, "
         "file_name) and caption (or title, text), or those of --image-key and "
         "--caption-key; any other list of shards works as well, and a folder of classes: labels "
         "are .cls, their names OUT_DIR/classes.txt")
      ->required();
  app.add_option("OUT_DIR", out_dir, "folder to make, or an empty one")->required();
  app.add_option("--records-per-shard", options.records_per_shard, "records of a shard")
      ->capture_default_str();
  app.add_option("--max-bytes", options.max_bytes,
                 "a shard also ends with the record that brings it over this; accepts 256MB")
      ->transform(CLI::AsSizeValue(false));
  app.add_option("--resize", options.resize,
                 "shorter side in pixels; smaller pictures keep their size, 0 keeps that of all");
  app.add_option("--encode", encode,
                 "jpg or png; without it, and without --resize, --background and --exif-rotate, "
                 "the bytes stay as they are")
      ->check(CLI::IsMember({"jpg", "png"}));
  app.add_option("--quality", options.quality, "of JPEG, 1 to 100")->capture_default_str();
  app.add_option(
      "--background", background,
      "colour under what is transparent, as in ffffff; without it transparency is dropped");
  app.add_option("--max-pixels", options.decode.max_pixels, "larger pictures are left out")
      ->capture_default_str();
  pictures.AddTo(app);
  columns.AddTo(app);
  app.add_option("--threads", options.threads, "threads; any number gives the same bytes")
      ->check(CLI::Range(1, kMostThreads))
      ->capture_default_str();
  app.add_flag("--json", json, "one JSON object on standard output");
  app.footer(
      "example: fastclip shards convert train.tsv shards/train --resize 256 --encode jpg "
      "--background ffffff");
  if (!ParseArguments(app, argc, argv)) return 0;
  if (!background.empty()) options.background = ParseColour(background);
  pictures.Apply(source_options, options.decode);
  source_options.table = columns.Parsed();
  const bool changes =
      options.resize > 0 || options.background.has_value() || options.decode.exif_rotate;
  options.encoding = encode == "png"              ? Encoding::kPng
                     : encode == "jpg" || changes ? Encoding::kJpeg
                                                  : Encoding::kKeep;
  if (app.count("--quality") > 0 && options.encoding != Encoding::kJpeg) {
    throw UsageError("--quality is of JPEG, and no picture is encoded as one: add --encode jpg");
  }

  ConvertFolder folder(out_dir);  // before the source is looked through
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
                fmt::format("{} left out", progress.rows - progress.written));
    });
  } catch (const std::invalid_argument& error) {
    throw UsageError(error.what());
  }
  line.End();
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  json ? PrintJson(report, out_dir, seconds) : PrintReport(report, out_dir, seconds);
  return 0;
}

}  // namespace fastclip
