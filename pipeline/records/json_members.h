#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fastclip {

/// A member of a JSON object, unparsed.
struct JsonMember {
  std::string_view name;   ///< between its quotes, with escapes
  std::string_view value;  ///< without blanks around it
};

/// The members of the object `json`, in order, as views into it; on a syntax error, those before
/// it. Use it to copy values unchanged: large numbers, NaN, order and spacing are kept. Linear
/// time.
std::vector<JsonMember> JsonMembersOf(std::string_view json);

/// `json` with the numbers at these names replaced, if it has numbers there; every other byte
/// stays. Text that is not a JSON object is returned unchanged.
std::string WithNumbers(std::string_view json,
                        std::span<const std::pair<std::string_view, std::int64_t>> numbers);

}  // namespace fastclip
