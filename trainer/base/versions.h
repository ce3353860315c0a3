#pragma once

#include <map>
#include <string>

namespace fastclip {

/// Versions of this build: "fastclip", "torch", "compiler".
std::map<std::string, std::string> Versions();

}  // namespace fastclip
