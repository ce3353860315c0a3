#include "tools/data/source_report.h"

#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>

#include "pipeline/base/printable.h"

namespace fastclip {
namespace {

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

/// `samples`: one for each part, or empty.
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

}  // namespace

void PrintSource(const OpenedSource& opened, bool json, const std::vector<RecordSample>& samples) {
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

}  // namespace fastclip
