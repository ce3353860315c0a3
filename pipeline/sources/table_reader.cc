#include "pipeline/sources/table_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "pipeline/base/ascii.h"
#include "pipeline/base/printable.h"

namespace fastclip {
namespace {

constexpr std::string_view kUtf8Mark = "\xEF\xBB\xBF";

/// The separator of a line like "sep=;", with which Excel begins a file.
std::optional<char> NamedSeparator(std::string_view line) {
  constexpr std::string_view kSep = "sep=";
  if (line.size() != kSep.size() + 1 || !EqualsInAnyCase(line.substr(0, kSep.size()), kSep))
    return std::nullopt;
  return line.back();
}

}  // namespace

TableReader::TableReader(const RandomAccessFile& file, TableFormat format, const TableWants& wants,
                         OnBytes on_bytes)
    : file_(file), end_(file.Stamp().size), on_bytes_(std::move(on_bytes)), scanner_(kSeparators) {
  layout_.format = format;
  Fill();
  RefuseOtherFiles();
  if (std::string_view(buffer_).starts_with(kUtf8Mark)) {
    begin_ = kUtf8Mark.size();
    offset_ = std::ssize(kUtf8Mark);
  }
  if (format == TableFormat::kJsonLines) {
    layout_ = JsonLayoutOf(wants);
    LookAtFirstRows(wants);
  } else {
    ReadFirstLine(wants);
  }
}

TableReader::TableReader(const RandomAccessFile& file, TableLayout layout, ByteRange rows,
                         std::stop_token stop)
    : file_(file),
      end_(rows.end),
      layout_(std::move(layout)),
      stop_(std::move(stop)),
      scanner_(std::string_view(&layout_.separator, 1)),
      offset_(rows.begin) {}

void TableReader::RefuseOtherFiles() const {
  const std::string_view text = buffer_;
  const auto refuse = [&](const char* what) {
    throw std::runtime_error(file_.name() + ": " + what);
  };
  using namespace std::string_view_literals;
  if (text.starts_with("\x1F\x8B"sv)) refuse("gzip-compressed but not named .gz; rename it");
  if (text.starts_with("PK\3\4"sv))
    refuse("a zip file (for example an Excel workbook); save it as .csv");
  if (text.starts_with("PAR1"sv))
    refuse("a Parquet file; convert it to .csv or .jsonl, for example with pandas");
  if (text.starts_with("\xFF\xFE"sv) || text.starts_with("\xFE\xFF"sv) ||
      text.substr(0, text.find('\n')).find('\0') != text.npos) {
    refuse("UTF-16 text or not text; save it as UTF-8 (iconv -f UTF-16 -t UTF-8)");
  }
}

void TableReader::ReadFirstLine(const TableWants& wants) {
  const char asked = wants.keys.separator;
  if (asked != '\0') scanner_ = RowScanner(std::string_view(&asked, 1));
  bool has_line = NextLine();
  std::optional<char> named;
  if (has_line) named = NamedSeparator(line_);
  if (named) has_line = NextLine();
  if (!has_line) {
    throw std::runtime_error(
        file_.name() +
        ": empty; the first line must have the column names, as in 'filepath' and 'caption'");
  }
  const char shown = named ? *named : SeparatorOf(layout_.format, line_);
  const char separator = asked != '\0' ? asked : shown;
  layout_ = LayoutOf(file_.name(), layout_.format, line_, separator, wants);
  layout_.overridden = separator != shown;
  scanner_ = RowScanner(std::string_view(&separator, 1));
}

void TableReader::LookAtFirstRows(const TableWants& wants) {
  constexpr int kRows = 100;
  constexpr std::int64_t kBytes = 1 << 20;
  TableReader rows(file_, layout_, {offset_, end_}, {});
  JsonRowNames names(layout_);
  for (int i = 0; i < kRows && rows.offset_ - offset_ < kBytes && rows.NextLine(); ++i)
    names.Add(rows.line_);
  names.Check(file_.name(), wants);
  layout_.description = names.Description();
}

bool TableReader::Fill() {
  static constexpr std::size_t kMaxFetch = 1 << 20;
  buffer_.erase(0, begin_);
  begin_ = 0;
  const std::size_t before = buffer_.size();
  const std::int64_t at = offset_ + std::ssize(buffer_);
  if (at >= end_) return false;
  const auto most = static_cast<std::size_t>(std::min<std::int64_t>(fetch_, end_ - at));
  buffer_.resize(before + most);
  const auto fresh = std::as_writable_bytes(std::span(buffer_)).subspan(before);
  if (const std::size_t got = file_.Read(at, fresh, stop_); got < most) {
    throw std::runtime_error(
        fmt::format("{}: truncated while it was being read: it ends at byte {}, but had {}; "
                    "restore the file",
                    file_.name(), at + static_cast<std::int64_t>(got), Counted(end_, "byte")));
  }
  fetch_ = std::min(2 * fetch_, kMaxFetch);
  if (on_bytes_) on_bytes_(fresh);
  return true;
}

/// The place of the row's line break at or behind `from`, or buffer_.size() if it is not there yet.
std::size_t TableReader::FindRowEnd(std::size_t from) {
  return layout_.format == TableFormat::kJsonLines
             ? std::min(buffer_.find('\n', from), buffer_.size())
             : scanner_.FindEnd(buffer_, from);
}

/// Goes behind a line of which there is too much in the buffer.
void TableReader::PassOverRest() {
  for (;;) {
    offset_ += static_cast<std::int64_t>(buffer_.size() - begin_);
    begin_ = buffer_.size();
    if (!Fill()) return;
    const std::size_t end = buffer_.find('\n');
    if (end == buffer_.npos) continue;
    begin_ = end + 1;
    offset_ += static_cast<std::int64_t>(begin_);
    return;
  }
}

bool TableReader::IsBlank(std::string_view line) const {
  const bool json = layout_.format == TableFormat::kJsonLines;
  return std::ranges::all_of(line, [&](char c) {
    return c == ' ' || (c == '\r' && json) || (c == '\t' && (json || layout_.separator != '\t'));
  });
}

bool TableReader::NextLine() {
  too_long_ = false;
  for (;;) {
    scanner_.Begin();
    std::size_t end = FindRowEnd(begin_);
    while (end == buffer_.size()) {
      const std::size_t scanned = end - begin_;
      if (scanned > kMaxRow) {
        if (layout_.format == TableFormat::kJsonLines) {
          PassOverRest();
          line_ = {};
          too_long_ = true;
          return true;
        }
        throw std::runtime_error(
            fmt::format("{}: the row at byte {} is larger than {} MiB{}", file_.name(), offset_,
                        kMaxRow >> 20, scanner_.in_quotes() ? "; it has an unclosed quote" : ""));
      }
      if (!Fill()) break;
      end = FindRowEnd(begin_ + scanned);
    }
    if (begin_ == buffer_.size()) return false;
    line_ = std::string_view(buffer_).substr(begin_, end - begin_);
    const std::size_t taken = std::min(end + 1, buffer_.size()) - begin_;
    begin_ += taken;
    offset_ += static_cast<std::int64_t>(taken);
    if (!IsBlank(line_)) return true;
  }
}

std::optional<TableRow> TableReader::Next() {
  if (!NextLine()) return std::nullopt;
  if (too_long_) {
    TableRow row;
    row.skip = Skip::kBadRow;
    return row;
  }
  return layout_.format == TableFormat::kJsonLines ? ParseJsonRow(line_, layout_)
                                                   : ParseFields(line_, layout_);
}

}  // namespace fastclip
