#pragma once

#include <string>
#include <string_view>

namespace fastclip {

/// The error for a file that is not safetensors, by its first bytes: a PyTorch checkpoint (with a
/// command to convert it), a Git LFS pointer, a web page. "" if it is none of them.
std::string OtherFormat(const std::string& path, std::string_view first_bytes);

}  // namespace fastclip
