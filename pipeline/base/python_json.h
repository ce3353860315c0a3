#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace fastclip {

/// Reads JSON like Python's json.loads: also NaN, Infinity and -Infinity, numbers out of the range
/// of a double (1e400 is infinity), lone surrogates (as U+FFFD, like ftfy), a byte-order mark,
/// UTF-16 and UTF-32. For equal names in an object the last value counts. Integers beyond 64 bits
/// become doubles.
///
/// Nothing where Python raises: not JSON, not UTF-8, more than one value. Also nothing for input
/// that only an attack contains: nesting deeper than kMaxJsonDepth (about Python's limit too), or
/// more than kMaxJsonValues values. Linear time.
std::optional<nlohmann::ordered_json> ParsePythonJson(std::string_view text);

using JsonPath = std::vector<std::string>;  ///< {"A", "B"}: the field B of the object A

/// The same, but keeps only the values at `paths`, to save memory on a large text. Other fields are
/// checked and dropped; kMaxJsonValues counts only kept values.
std::optional<nlohmann::ordered_json> ParsePythonJson(std::string_view text,
                                                      std::span<const JsonPath> paths);

inline constexpr int kMaxJsonDepth = 1000;
inline constexpr std::size_t kMaxJsonValues = 1 << 20;

}  // namespace fastclip
