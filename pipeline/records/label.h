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

/// The class of a picture as its source tells it: a number of 0 to 2^53, or why there is none
/// (Skip::kNoLabel, Skip::kBadLabel); `value` is then -1.
struct Label {
  std::int64_t value = -1;
  std::optional<Skip> skip = Skip::kNoLabel;
};

/// Digits with blanks around them, also as pandas writes a column with gaps: "1.0". Nothing but
/// blanks is no label; all else, a sign or another fraction too, is a bad one.
Label ParseLabel(std::string_view text);

/// The same where a label may be a name: what is no number is looked up among `names`, if given.
Label ParseLabel(std::string_view text, const ClassNames* names);

/// Which field of a record is its label, as users write it (SourceOptions::labels).
struct LabelKey {
  std::vector<std::string> json_path;  ///< of "json.A.B": A, then B in it; else empty
  std::string column;                  ///< of any other text; empty: the usual place
};
/// Throws std::invalid_argument for a "json." path with an empty part.
LabelKey ParseLabelKey(const std::string& text);

/// The whole number (1.0 is one), or the text of one or of a name, that lies at `path` in an
/// object.
Label LabelAt(const nlohmann::ordered_json& object, std::span<const std::string> path,
              const ClassNames* names = nullptr);

}  // namespace fastclip
