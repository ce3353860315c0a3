#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace fastclip {

/// "json.A.B" → {"A", "B"}: the field B of the object A of a record's .json. Nothing if the text
/// does not begin with "json.". Throws std::invalid_argument with `what` for an empty part.
std::optional<std::vector<std::string>> ParseJsonPath(const std::string& text, const char* what);

/// The value at `path`; null if there is none.
const nlohmann::ordered_json* FindAt(const nlohmann::ordered_json& object,
                                     std::span<const std::string> path);

}  // namespace fastclip
