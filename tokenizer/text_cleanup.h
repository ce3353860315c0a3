#pragma once

#include <string>
#include <string_view>

namespace fastclip {

/// What OpenCLIP does to a caption before it splits it into words: FixText(), HTML references
/// replaced twice, white space to single spaces, lower case. In and out are UTF-8.
std::string CleanCaption(std::string_view text);

}  // namespace fastclip
