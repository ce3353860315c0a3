#include "pipeline/sources/table_row.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <utility>

#include "pipeline/base/ascii.h"
#include "pipeline/base/json_path.h"
#include "pipeline/base/printable.h"
#include "pipeline/base/python_json.h"
#include "pipeline/base/separated_text.h"
#include "pipeline/records/json_members.h"

namespace fastclip {
namespace {

using Json = nlohmann::ordered_json;

std::string Joined(const std::vector<std::string>& path) {
  std::string text;
  for (const std::string& name : path) text += (text.empty() ? "" : ".") + name;
  return text;
}

/// A string, or the strings of a list.
void AddCaptions(const Json& value, std::vector<std::string>& captions) {
  if (value.is_string()) captions.push_back(value.get<std::string>());
  if (!value.is_array()) return;
  for (const auto& caption : value) {
    if (caption.is_string()) captions.push_back(caption.get<std::string>());
  }
}

bool IsJsonCaptionName(std::string_view name) {
  return IsCaptionName(name) || EqualsInAnyCase(name, "captions");
}

/// The field of the image's path under its usual names: the first of them that is a string.
const Json* FindImage(const Json& row, std::string* name) {
  const Json* image = nullptr;
  int best = std::numeric_limits<int>::max();
  for (const auto& [key, value] : row.items()) {
    const auto rank = ImageNameRank(key);
    if (!rank || *rank >= best || !value.is_string()) continue;
    best = *rank;
    image = &value;
    if (name != nullptr) *name = key;
  }
  return image;
}

const Json* FindLabel(const Json& row, const TableLayout& layout) {
  if (!layout.label_path.empty()) return FindAt(row, layout.label_path);
  for (const auto& [key, value] : row.items()) {
    if (EqualsInAnyCase(key, "label")) return &value;
  }
  return nullptr;
}

std::string Dump(const std::string& text) {
  return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// Whether the field `name` of a .jsonl row goes into the record as such.
bool IsTaken(const std::string& name, const Json& row, const std::string& image,
             const TableLayout& layout) {
  const auto named = [&](const std::vector<std::string>& path) {
    return path.size() == 1 && path.front() == name;
  };
  const bool is_label =
      layout.label_path.empty() ? EqualsInAnyCase(name, "label") : named(layout.label_path);
  if (is_label) {
    const Json* const label = FindLabel(row, layout);
    return label != nullptr &&
           LabelAt(*label, {}, layout.class_names.get()).skip != Skip::kBadLabel;
  }
  if (layout.image_path.empty() ? name == image : named(layout.image_path)) return true;
  return layout.caption_path.empty() ? IsJsonCaptionName(name) : named(layout.caption_path);
}

std::vector<StoredField> JsonFieldsBeside(std::string_view line, const TableLayout& layout) {
  std::vector<StoredField> fields;
  const std::optional<Json> row = ParsePythonJson(line);
  if (!row || !row->is_object()) return fields;
  std::string image;
  if (layout.image_path.empty()) FindImage(*row, &image);
  for (const JsonMember& member : JsonMembersOf(line)) {
    const auto name = ParsePythonJson(fmt::format("\"{}\"", member.name));
    if (!name || !name->is_string()) continue;
    std::string text = name->get<std::string>();
    if (!IsTaken(text, *row, image, layout)) {
      fields.push_back({std::move(text), std::string(member.value)});
    }
  }
  return fields;
}

}  // namespace

std::vector<StoredField> FieldsBeside(std::string_view line, const TableLayout& layout) {
  if (layout.format == TableFormat::kJsonLines) return JsonFieldsBeside(line, layout);
  std::vector<StoredField> beside;
  FieldReader fields(line, layout.separator);
  const int columns = static_cast<int>(layout.columns.size());
  for (int column = 0; column < columns && fields.Next(); ++column) {
    const bool is_caption = std::ranges::find(layout.captions, column) != layout.captions.end();
    if (column == layout.image || is_caption) continue;
    const std::string text = fields.Text();
    if (column == layout.label &&
        ParseLabel(text, layout.class_names.get()).skip != Skip::kBadLabel)
      continue;
    beside.push_back({layout.columns[static_cast<std::size_t>(column)], Dump(text)});
  }
  return beside;
}

TableRow ParseFields(std::string_view line, const TableLayout& layout) {
  TableRow row;
  FieldReader fields(line, layout.separator);
  const int columns = static_cast<int>(layout.columns.size());
  bool has_image = false, has_label = false, bad = false;
  int column = 0;
  for (; fields.Next(); ++column) {
    row.open_quote |= fields.is_open();
    bad |= column >= columns || fields.is_open() || fields.is_merged();
    if (column >= columns) continue;
    if (column == layout.image) {
      row.image = fields.Text();
      has_image = true;
    } else if (column == layout.label) {
      row.label = ParseLabel(fields.Text(), layout.class_names.get());
      has_label = true;
    } else if (std::ranges::find(layout.captions, column) != layout.captions.end()) {
      row.captions.push_back(fields.Text());
    }
  }
  const bool has_partner = layout.labelled || !layout.captioned ? has_label : !row.captions.empty();
  if (bad || !has_image || !has_partner) {
    row.skip = Skip::kBadRow;
  } else if (row.image.empty()) {
    row.skip = Skip::kNoImage;
  }
  return row;
}

TableRow ParseJsonRow(std::string_view line, const TableLayout& layout) {
  TableRow row;
  const std::optional<Json> parsed = ParsePythonJson(line);
  if (!parsed || !parsed->is_object()) {
    row.skip = Skip::kBadRow;
    return row;
  }
  const Json& json = *parsed;
  const Json* const image =
      layout.image_path.empty() ? FindImage(json, nullptr) : FindAt(json, layout.image_path);
  if (image != nullptr && image->is_string()) row.image = image->get<std::string>();
  if (row.image.empty()) row.skip = Skip::kNoImage;
  if (const Json* const label = FindLabel(json, layout))
    row.label = LabelAt(*label, {}, layout.class_names.get());
  if (layout.labelled) return row;
  if (!layout.caption_path.empty()) {
    if (const Json* const caption = FindAt(json, layout.caption_path))
      AddCaptions(*caption, row.captions);
    return row;
  }
  for (const auto& [name, value] : json.items()) {
    if (&value != image && IsJsonCaptionName(name)) AddCaptions(value, row.captions);
  }
  return row;
}

void JsonRowNames::Add(std::string_view line) {
  ++rows_;
  const std::optional<Json> parsed = ParsePythonJson(line);
  if (!parsed || !parsed->is_object()) return;
  const Json& json = *parsed;
  ++objects_;
  const auto note = [](const std::string& name, std::vector<std::string>& names) {
    constexpr std::size_t kNoted = 100;
    if (names.size() < kNoted && std::ranges::find(names, name) == names.end())
      names.push_back(name);
  };
  for (const auto& [name, value] : json.items()) {
    note(name, names_);
    if (layout_.caption_path.empty() && IsJsonCaptionName(name)) note(name, captions_);
  }
  if (!layout_.image_path.empty()) {
    if (FindAt(json, layout_.image_path) != nullptr) image_ = Joined(layout_.image_path);
  } else {
    FindImage(json, &image_);
  }
  if (!layout_.caption_path.empty() && FindAt(json, layout_.caption_path) != nullptr)
    captions_ = {Joined(layout_.caption_path)};
  has_label_ |= FindLabel(json, layout_) != nullptr;
}

void JsonRowNames::Check(const std::string& path, const TableWants& wants) const {
  if (rows_ == 0) return;
  if (objects_ == 0) {
    throw std::runtime_error(
        fmt::format("{}: no JSON object in the first {}; a .jsonl has one object per line, as in "
                    "{{\"file_name\": \"0.jpg\", \"text\": \"a cat\"}}",
                    path, Counted(rows_, "line")));
  }
  const auto fail = [&](const std::string& what) {
    throw WrongColumn(
        fmt::format("{}: the first rows have the fields {}; {}", path, ListNames(names_), what));
  };
  if (image_.empty() && !wants.keys.image.empty())
    fail(fmt::format("--image-key is '{}', which is not one of them", wants.keys.image));
  if (image_.empty()) {
    fail(fmt::format("none is named like an image path ({}); set it with --image-key FIELD",
                     UsualImageNames()));
  }
  if (layout_.labelled) {
    const bool by_name = wants.labels && ParseLabelKey(*wants.labels).json_path.empty();
    if (!has_label_ && by_name) {
      fail(fmt::format("none is named {} (the label); set it with --label-key FIELD",
                       layout_.label_path.empty() ? "label" : Joined(layout_.label_path)));
    }
    return;
  }
  if (captions_.empty() && !wants.keys.caption.empty()) {
    fail(fmt::format("--caption-key is '{}', which is not one of them", wants.keys.caption));
  }
  if (captions_.empty() && !has_label_) {
    fail("none is named caption, title or text (the caption); set it with --caption-key FIELD");
  }
}

std::string JsonRowNames::Description() const {
  if (rows_ == 0) return layout_.description;
  if (layout_.labelled) {
    return fmt::format("image from '{}', label from '{}'", image_,
                       layout_.label_path.empty() ? "label" : Joined(layout_.label_path));
  }
  if (captions_.empty())
    return fmt::format("image from '{}', label from 'label', no captions", image_);
  return fmt::format("image from '{}', captions from {}", image_, ListNames(captions_));
}

}  // namespace fastclip
