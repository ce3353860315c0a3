#pragma once

#include <map>
#include <string>

namespace fastclip {

/// What this binary is made of: "fastclip", "torch", "compiler".
std::map<std::string, std::string> Versions();

}  // namespace fastclip
