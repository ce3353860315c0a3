#include "pipeline/sources/table_layout.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>
#include <stdexcept>
#include <utility>

#include "pipeline/base/ascii.h"
#include "pipeline/base/separated_text.h"
#include "pipeline/records/picture_format.h"

namespace fastclip {
namespace {

constexpr std::string_view kImageNames[] = {"filepath",   "image",     "path",       "file_name",
                                            "filename",   "file_path", "image_path", "img_path",
                                            "image_file", "img"};
constexpr std::string_view kCaptionNames[] = {"caption", "title", "text"};

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = LowerAscii(c);
  return lower;
}

std::string Trimmed(const std::string& text) {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == text.npos) return "";
  return text.substr(first, text.find_last_not_of(" \t") + 1 - first);
}

std::string Named(char separator) {
  switch (separator) {
    case '\t':
      return "tabs";
    case ',':
      return "commas";
    case ';':
      return "semicolons";
    default:
      return fmt::format("'{}'", separator);
  }
}

/// Picks columns out of the names of a first line.
class ColumnChooser {
 public:
  ColumnChooser(const std::string& path, TableLayout& layout) : path_(path), layout_(layout) {}

  /// The column of that name: as it is spelled, else in any case. Throws where there are two.
  std::optional<int> Find(const std::string& name) const {
    const auto same = [&](const std::string& column) { return column == name; };
    const auto alike = [&](const std::string& column) { return Lower(column) == Lower(name); };
    if (const auto exact = FindBy(same, name)) return exact;
    return FindBy(alike, name);
  }

  /// The column of the first of these names that there is.
  std::optional<int> FindFirst(std::span<const std::string_view> names) const {
    for (const std::string_view name : names) {
      const std::string wanted(name);
      const auto alike = [&](const std::string& column) { return Lower(column) == wanted; };
      if (const auto found = FindBy(alike, wanted)) return found;
    }
    return std::nullopt;
  }

  int Require(const std::string& name, const char* option) const {
    if (const auto found = Find(name)) return *found;
    Throw(fmt::format("{} is '{}', which is not one of them", option, name));
  }

  [[noreturn]] void Throw(const std::string& what) const {
    const auto& columns = layout_.columns;
    throw WrongColumn(
        fmt::format("{}: the first line has {}, separated by {}: {}; {}", path_,
                    columns.size() == 1 ? "one column" : fmt::format("{} columns", columns.size()),
                    Named(layout_.separator), ListNames(columns), what));
  }

 private:
  template <typename Matches>
  std::optional<int> FindBy(const Matches& matches, const std::string& name) const {
    const auto& columns = layout_.columns;
    const auto first = std::ranges::find_if(columns, matches);
    if (first == columns.end()) return std::nullopt;
    if (std::find_if(first + 1, columns.end(), matches) != columns.end())
      Throw(fmt::format("'{}' appears twice; rename one of them", name));
    return static_cast<int>(first - columns.begin());
  }

  const std::string& path_;
  TableLayout& layout_;
};

/// Whether a first line holds values, not names.
bool LooksLikeValues(const std::vector<std::string>& columns) {
  return std::ranges::any_of(columns, [](const std::string& text) {
    const std::size_t dot = text.rfind('.');
    return text.starts_with("http://") || text.starts_with("https://") ||
           (dot != text.npos && FormatOfExtension(std::string_view(text).substr(dot + 1)));
  });
}

/// A first line in which a needed column is not to be found may have another fault.
void RefuseOtherLine(const ColumnChooser& chooser, std::string_view first_line,
                     const TableKeys& keys, const TableLayout& layout) {
  const char shown = SeparatorOf(layout.format, first_line);
  if (keys.separator != '\0' && layout.columns.size() == 1 && shown != keys.separator &&
      first_line.find(shown) != first_line.npos) {
    chooser.Throw(fmt::format("--separator is {}, but the line has {}; leave it out",
                              Named(keys.separator), Named(shown)));
  }
  if (LooksLikeValues(layout.columns)) {
    chooser.Throw(fmt::format(
        "these look like values; add a first line with the names of the columns, as in "
        "'filepath{}caption'",
        layout.separator == '\t' ? std::string("<TAB>") : std::string(1, layout.separator)));
  }
}

void ChooseImage(const ColumnChooser& chooser, const TableKeys& keys, std::string_view first_line,
                 TableLayout& layout) {
  const auto found = keys.image.empty() ? chooser.FindFirst(kImageNames) : chooser.Find(keys.image);
  if (found) {
    layout.image = *found;
    return;
  }
  RefuseOtherLine(chooser, first_line, keys, layout);
  if (!keys.image.empty()) chooser.Require(keys.image, "--image-key");
  const bool urls = chooser.Find("url").has_value();
  chooser.Throw(fmt::format(
      "none is named like an image path ({}); set it with --image-key COLUMN{}", UsualImageNames(),
      urls ? "; a URL is not a path: download the images first, for example with img2dataset"
           : ""));
}

void ChooseCaptions(const ColumnChooser& chooser, const TableKeys& keys, TableLayout& layout) {
  if (!keys.caption.empty()) {
    layout.captions = {chooser.Require(keys.caption, "--caption-key")};
    return;
  }
  for (std::size_t i = 0; i < layout.columns.size(); ++i) {
    if (static_cast<int>(i) != layout.image && IsCaptionName(layout.columns[i]))
      layout.captions.push_back(static_cast<int>(i));
  }
  layout.captioned = !layout.captions.empty();
  if (!layout.captioned && layout.label < 0) {
    chooser.Throw(
        "none is named caption, title or text (the caption); set it with --caption-key COLUMN");
  }
}

void ChooseLabel(const ColumnChooser& chooser, const TableWants& wants, TableLayout& layout) {
  const LabelKey key = wants.labels ? ParseLabelKey(*wants.labels) : LabelKey();
  if (!key.json_path.empty()) {
    chooser.Throw(
        "the label key must be a column name here; json.NAME is for .json members and .jsonl rows");
  }
  const std::string name = key.column.empty() ? "label" : key.column;
  if (const auto found = chooser.Find(name)) {
    const bool is_caption =
        !wants.keys.caption.empty() && chooser.Find(wants.keys.caption) == found;
    if (wants.labels || !is_caption) layout.label = *found;
  } else if (wants.labels) {
    chooser.Throw(
        fmt::format("none is named {} (the label); set it with --label-key COLUMN", name));
  }
}

std::string Describe(const TableLayout& layout, bool by_ending) {
  const auto name = [&](int column) {
    return fmt::format("'{}'", layout.columns[static_cast<std::size_t>(column)]);
  };
  std::string text = by_ending ? "" : fmt::format("separated by {}, ", Named(layout.separator));
  text += fmt::format("image from {}, ", name(layout.image));
  if (layout.labelled) return text + "label from " + name(layout.label);
  if (!layout.captioned)
    return text + fmt::format("label from {}, no captions", name(layout.label));
  std::string captions;
  for (const int column : layout.captions)
    captions += (captions.empty() ? "" : ", ") + name(column);
  return text + "captions from " + captions;
}

/// "json.A.B", or the name of a field.
std::vector<std::string> FieldPath(const std::string& key) {
  LabelKey parsed = ParseLabelKey(key);
  if (!parsed.json_path.empty()) return std::move(parsed.json_path);
  return parsed.column.empty() ? std::vector<std::string>() : std::vector{parsed.column};
}

char OwnSeparator(TableFormat format) { return format == TableFormat::kTsv ? '\t' : ','; }

}  // namespace

std::optional<TableFormat> TableFormatOf(const std::string& path) {
  std::string name = Lower(path);
  if (name.ends_with(".gz")) name.resize(name.size() - 3);
  if (name.ends_with(".tsv")) return TableFormat::kTsv;
  if (name.ends_with(".csv")) return TableFormat::kCsv;
  if (name.ends_with(".jsonl") || name.ends_with(".ndjson")) return TableFormat::kJsonLines;
  return std::nullopt;
}

std::optional<int> ImageNameRank(std::string_view name) {
  const auto* const found = std::ranges::find(kImageNames, Lower(name));
  if (found == std::end(kImageNames)) return std::nullopt;
  return static_cast<int>(found - std::begin(kImageNames));
}

bool IsCaptionName(std::string_view name) {
  std::string base = Lower(name);
  base.erase(base.find_last_not_of("0123456789") + 1);
  if (base.size() < name.size() && base.ends_with('_')) base.pop_back();
  return std::ranges::find(kCaptionNames, base) != std::end(kCaptionNames);
}

std::string UsualImageNames() { return fmt::format("{}", fmt::join(kImageNames, ", ")); }

std::string ListNames(const std::vector<std::string>& names) {
  constexpr std::size_t kShown = 8, kLongest = 60;
  std::string text;
  for (std::size_t i = 0; i < std::min(names.size(), kShown); ++i)
    text += fmt::format("{}'{}'", i == 0 ? "" : ", ", names[i].substr(0, kLongest));
  if (names.size() > kShown) text += fmt::format(" and {} more", names.size() - kShown);
  return text;
}

char SeparatorOf(TableFormat format, std::string_view first_line) {
  const auto has = [&](char separator) {
    FieldReader fields(first_line, separator);
    return fields.Next() && fields.Next();
  };
  const char own = OwnSeparator(format);
  if (has(own)) return own;
  for (const char other : {'\t', ';', ',', '|'}) {
    if (has(other)) return other;
  }
  return own;
}

TableLayout LayoutOf(const std::string& path, TableFormat format, std::string_view first_line,
                     char separator, const TableWants& wants) {
  TableLayout layout;
  layout.format = format;
  layout.separator = separator;
  layout.labelled = wants.labels.has_value();
  FieldReader fields(first_line, separator);
  while (fields.Next()) {
    if (layout.columns.size() == kMostColumns) {
      throw std::runtime_error(
          fmt::format("{}: the first line has more than {} columns; it must hold the column names",
                      path, kMostColumns));
    }
    layout.columns.push_back(Trimmed(fields.Text()));
  }
  const ColumnChooser chooser(path, layout);
  ChooseImage(chooser, wants.keys, first_line, layout);
  ChooseLabel(chooser, wants, layout);
  if (!layout.labelled) ChooseCaptions(chooser, wants.keys, layout);
  layout.description = Describe(layout, separator == OwnSeparator(format));
  return layout;
}

TableLayout JsonLayoutOf(const TableWants& wants) {
  TableLayout layout;
  layout.format = TableFormat::kJsonLines;
  layout.labelled = wants.labels.has_value();
  layout.image_path = FieldPath(wants.keys.image);
  layout.caption_path = FieldPath(wants.keys.caption);
  layout.label_path = FieldPath(wants.labels.value_or(""));
  layout.description = "one JSON object per line";
  return layout;
}

}  // namespace fastclip
