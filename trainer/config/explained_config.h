#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "trainer/base/config_table.h"

namespace fastclip {

/// All keys with their values as TOML, each below a comment that explains it, as in
/// configs/quickstart.toml.
std::string ExplainedConfig(const ConfigTable& table);

/// Wraps `text` into lines of at most `width` bytes, each starting with `indent`. Empty for an
/// empty text.
std::string Wrapped(std::string_view text, std::string_view indent, std::size_t width);

}  // namespace fastclip
