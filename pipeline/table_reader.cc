#include "pipeline/table_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "pipeline/ascii.h"
#include "pipeline/file.h"

namespace fastclip {
namespace {

constexpr std::string_view kImageNames[] = {"filepath", "image", "path"};
constexpr std::string_view kCaptionNames[] = {"caption", "title", "text"};

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = LowerAscii(c);
  return lower;
}

/// "caption", "Caption2", "caption_2".
bool IsCaptionName(std::string_view name) {
  std::string base = Lower(name);
  base.erase(base.find_last_not_of("0123456789") + 1);
  if (base.size() < name.size() && base.ends_with('_')) base.pop_back();
  return std::ranges::find(kCaptionNames, base) != std::end(kCaptionNames);
}

std::vector<std::string> SplitTsv(std::string_view line) {
  std::vector<std::string> fields;
  for (std::size_t start = 0; start <= line.size();) {
    const std::size_t end = std::min(line.find('\t', start), line.size());
    fields.emplace_back(line.substr(start, end - start));
    start = end + 1;
  }
  return fields;
}

std::vector<std::string> SplitCsv(std::string_view line) {
  std::vector<std::string> fields(1);
  bool in_quotes = false, at_start = true;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (in_quotes) {
      if (c != '"') {
        fields.back() += c;
      } else if (i + 1 < line.size() && line[i + 1] == '"') {
        fields.back() += line[++i];
      } else {
        in_quotes = false;
      }
    } else if (c == '"' && at_start) {
      in_quotes = true;
    } else if (c == ',') {
      fields.emplace_back();
      at_start = true;
      continue;
    } else {
      fields.back() += c;
    }
    at_start = false;
  }
  return fields;
}

/// A .jsonl row's captions: strings, and strings in lists.
TableRow ParseJson(std::string_view line, std::span<const std::string> label_path) {
  TableRow row;
  const auto json = nlohmann::ordered_json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return row;
  std::size_t best = std::size(kImageNames);
  for (const auto& [name, value] : json.items()) {
    const std::string lower = Lower(name);
    const auto rank = static_cast<std::size_t>(std::ranges::find(kImageNames, lower) - kImageNames);
    if (rank < best && value.is_string()) {
      best = rank;
      row.image = value.get<std::string>();
    } else if (IsCaptionName(name) || lower == "captions") {
      if (value.is_string()) row.captions.push_back(value.get<std::string>());
      if (!value.is_array()) continue;
      for (const auto& caption : value) {
        if (caption.is_string()) row.captions.push_back(caption.get<std::string>());
      }
    } else if (lower == "label" && label_path.empty()) {
      row.label = LabelAt(value, {});
    }
  }
  if (!label_path.empty()) row.label = LabelAt(json, label_path);
  return row;
}

}  // namespace

std::optional<TableFormat> TableFormatOf(const std::string& path) {
  const std::string name = Lower(path);
  if (name.ends_with(".tsv")) return TableFormat::kTsv;
  if (name.ends_with(".csv")) return TableFormat::kCsv;
  if (name.ends_with(".jsonl") || name.ends_with(".ndjson")) return TableFormat::kJsonLines;
  return std::nullopt;
}

TableReader::TableReader(int fd, std::string path, TableFormat format,
                         const std::optional<std::string>& labels, OnBytes on_bytes)
    : fd_(fd), path_(std::move(path)), on_bytes_(std::move(on_bytes)) {
  layout_.format = format;
  const LabelKey key = labels ? ParseLabelKey(*labels) : LabelKey();
  Fill();
  if (std::string_view(buffer_).starts_with("\xEF\xBB\xBF")) {
    begin_ = 3;  // a byte-order mark
    offset_ = 3;
  }
  if (format == TableFormat::kJsonLines) {
    layout_.label_path = key.json_path;
    if (!key.column.empty()) layout_.label_path = {key.column};
    layout_.description = "one JSON object a line";
    return;
  }
  if (!NextLine()) {
    throw std::runtime_error(
        path_ + ": empty; its first line names the columns, as in 'filepath' and 'caption'");
  }
  ChooseColumns(format == TableFormat::kTsv ? SplitTsv(line_) : SplitCsv(line_),
                labels ? &key : nullptr);
}

TableReader::TableReader(int fd, std::string path, TableLayout layout, std::int64_t offset,
                         std::stop_token stop)
    : fd_(fd),
      path_(std::move(path)),
      layout_(std::move(layout)),
      stop_(std::move(stop)),
      offset_(offset) {}

void TableReader::ChooseColumns(const std::vector<std::string>& names, const LabelKey* labels) {
  if (labels != nullptr && !labels->json_path.empty()) {
    throw std::runtime_error(path_ +
                             ": the label key is a column's name here; json.NAME is for .json "
                             "members and .jsonl rows");
  }
  const std::string label_name =
      labels != nullptr && !labels->column.empty() ? Lower(labels->column) : std::string("label");
  std::size_t best = std::size(kImageNames);
  std::string captions;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::string lower = Lower(names[i]);
    const auto rank = static_cast<std::size_t>(std::ranges::find(kImageNames, lower) - kImageNames);
    if (rank < best) {
      best = rank;
      layout_.image = static_cast<int>(i);
    } else if (lower == label_name) {
      layout_.label = static_cast<int>(i);
    } else if (labels == nullptr && IsCaptionName(lower)) {
      layout_.captions.push_back(static_cast<int>(i));
      captions += fmt::format("{}'{}'", captions.empty() ? "" : ", ", names[i]);
    }
  }
  const bool paired = labels != nullptr ? layout_.label >= 0 : !layout_.captions.empty();
  if (layout_.image < 0 || !paired) {
    const std::string partner =
        labels != nullptr ? fmt::format("one called {} (or --label-key COLUMN)", label_name)
                          : std::string("one called caption, title or text");
    throw std::runtime_error(fmt::format(
        "{}: its first line names the columns '{}'; one called filepath, image or path and {} are "
        "needed",
        path_, fmt::join(std::span(names).first(std::min<std::size_t>(names.size(), 8)), "', '"),
        partner));
  }
  layout_.description = fmt::format(
      "image from '{}', {}", names[static_cast<std::size_t>(layout_.image)],
      labels != nullptr
          ? fmt::format("label from '{}'", names[static_cast<std::size_t>(layout_.label)])
          : "captions from " + captions);
}

bool TableReader::Fill() {
  static constexpr std::size_t kMaxFetch = 1 << 20;
  buffer_.erase(0, begin_);
  begin_ = 0;
  const std::size_t before = buffer_.size();
  buffer_.resize(before + fetch_);
  const auto fresh = std::as_writable_bytes(std::span(buffer_)).subspan(before);
  const std::size_t got =
      ReadAt(fd_, offset_ + static_cast<std::int64_t>(before), fresh, path_, stop_);
  buffer_.resize(before + got);
  fetch_ = std::min(2 * fetch_, kMaxFetch);
  if (on_bytes_) on_bytes_(fresh.first(got));
  return got > 0;
}

/// The place of the row's line break at or behind `from`, or buffer_.size() if it is not there yet.
std::size_t TableReader::FindRowEnd(std::size_t from) {
  if (layout_.format != TableFormat::kCsv)
    return std::min(buffer_.find('\n', from), buffer_.size());
  for (std::size_t i = from; i < buffer_.size(); ++i) {
    const char c = buffer_[i];
    if (c == '"' && (in_quotes_ || at_field_start_)) {
      // A doubled quote closes and opens again, which comes to the same.
      in_quotes_ = !in_quotes_;
      at_field_start_ = !in_quotes_;
      continue;
    }
    if (c == '\n' && !in_quotes_) return i;
    at_field_start_ = c == ',' && !in_quotes_;
  }
  return buffer_.size();
}

bool TableReader::NextLine() {
  for (;;) {
    in_quotes_ = false;
    at_field_start_ = true;
    std::size_t scanned = 0;  // behind begin_
    std::size_t end = FindRowEnd(begin_);
    while (end == buffer_.size()) {
      scanned = end - begin_;
      if (scanned > kMaxRow) {
        throw std::runtime_error(fmt::format(
            "{}: the row at byte {} is over {} MiB{}", path_, offset_, kMaxRow >> 20,
            layout_.format == TableFormat::kCsv ? "; does a quote in it not close?" : ""));
      }
      if (!Fill()) break;
      end = FindRowEnd(begin_ + scanned);
    }
    if (begin_ == buffer_.size()) return false;
    line_.assign(buffer_, begin_, end - begin_);
    const std::size_t taken = std::min(end + 1, buffer_.size()) - begin_;
    begin_ += taken;
    offset_ += static_cast<std::int64_t>(taken);
    if (line_.ends_with('\r')) line_.pop_back();
    if (line_.find_first_not_of(" \r") != std::string::npos) return true;
  }
}

TableRow TableReader::ParseFields() const {
  const std::vector<std::string> fields =
      layout_.format == TableFormat::kTsv ? SplitTsv(line_) : SplitCsv(line_);
  const auto field = [&](int column) {
    return column >= 0 && static_cast<std::size_t>(column) < fields.size()
               ? fields[static_cast<std::size_t>(column)]
               : std::string();
  };
  TableRow row;
  row.image = field(layout_.image);
  row.label = ParseLabel(field(layout_.label));
  for (const int column : layout_.captions) row.captions.push_back(field(column));
  return row;
}

std::optional<TableRow> TableReader::Next() {
  if (!NextLine()) return std::nullopt;
  return layout_.format == TableFormat::kJsonLines ? ParseJson(line_, layout_.label_path)
                                                   : ParseFields();
}

}  // namespace fastclip
