#pragma once

#include <string>
#include <string_view>

namespace fastclip {

/// Cleans a caption as OpenCLIP does before splitting it into words: FixText(), HTML references
/// replaced twice, white space to single spaces, lower case. Input and output are UTF-8.
std::string CleanCaption(std::string_view text);

}  // namespace fastclip
