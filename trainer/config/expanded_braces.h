#pragma once

#include <string>
#include <vector>

namespace fastclip {

/// An error if words KEY=VALUE differ in the digits of a path alone: a shell makes
/// KEY=shards/{0..9}.tar ten words, of which only the last would hold. Or "".
std::string BracesTheShellExpanded(const std::vector<std::string>& overrides);

}  // namespace fastclip
