#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace fastclip {

/// JSON as Python's json.loads reads it, which wrote most of the web's data sets: also NaN,
/// Infinity and -Infinity, numbers past the range of a double (1e400 is infinity), lone surrogates
/// (as U+FFFD, which is what ftfy makes of them), a byte-order mark, UTF-16 and UTF-32. Of equal
/// names in an object the last value counts. Whole numbers past 64 bits become doubles.
///
/// Nothing where Python raises: no JSON, no UTF-8, more than one value. Nothing either for what
/// only an attack holds: more than kMaxJsonDepth values inside each other (about where Python gives
/// up as well), or more than kMaxJsonValues in all. Takes time linear in the text.
std::optional<nlohmann::ordered_json> ParsePythonJson(std::string_view text);

using JsonPath = std::vector<std::string>;  ///< {"A", "B"}: the field B of the object A

/// The same, but keeps only what lies at `paths`, so that a large text takes little memory: other
/// fields are checked and left out, and kMaxJsonValues counts those that are kept.
std::optional<nlohmann::ordered_json> ParsePythonJson(std::string_view text,
                                                      std::span<const JsonPath> paths);

inline constexpr int kMaxJsonDepth = 1000;
inline constexpr std::size_t kMaxJsonValues = 1 << 20;

}  // namespace fastclip
