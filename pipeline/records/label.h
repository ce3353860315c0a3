#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/records/class_names.h"
#include "pipeline/records/record.h"

namespace fastclip {

/// An image's class in its source: 0 to 2^53, or why there is none (Skip::kNoLabel,
/// Skip::kBadLabel), with `value` -1.
struct Label {
  std::int64_t value = -1;
  std::optional<Skip> skip = Skip::kNoLabel;
};

/// Parses digits with optional blanks around them, also "1.0" as pandas writes a column with gaps.
/// Only blanks is no label; anything else, such as a sign or another fraction, is a bad label.
Label ParseLabel(std::string_view text);

/// The same, but text that is not a number is looked up in `names`, if given.
Label ParseLabel(std::string_view text, const ClassNames* names);

/// Which field of a record is its label, as users write it (SourceOptions::labels).
struct LabelKey {
  std::vector<std::string> json_path;  ///< {"A", "B"} for "json.A.B"; else empty
  std::string column;                  ///< any other text; empty: the usual place
};
/// Throws std::invalid_argument for a "json." path with an empty part.
LabelKey ParseLabelKey(const std::string& text);

/// The label at `path` in an object: an integer (also 1.0), or a string with an integer or a name.
Label LabelAt(const nlohmann::ordered_json& object, std::span<const std::string> path,
              const ClassNames* names = nullptr);

}  // namespace fastclip
