#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fastclip {

/// A member of a JSON object as it is written.
struct JsonMember {
  std::string_view name;   ///< between its quotes, escapes and all
  std::string_view value;  ///< without blanks around it
};

/// The members of the object that `json` is, in order, views into it; those before a fault where
/// there is one. For who carries values on as they are: numbers that no parser keeps, NaN, any
/// order and spacing. Linear in the text.
std::vector<JsonMember> JsonMembersOf(std::string_view json);

/// `json` with other numbers at these names, where the object has numbers at them; every other byte
/// stays. What is no JSON object stays as it is.
std::string WithNumbers(std::string_view json,
                        std::span<const std::pair<std::string_view, std::int64_t>> numbers);

}  // namespace fastclip
