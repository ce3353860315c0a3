#pragma once

#include <string>
#include <string_view>

namespace fastclip {

/// An error for a file that is known to be something else than safetensors, by its first bytes: a
/// PyTorch checkpoint (with the line that converts it), a Git LFS pointer, a web page. "" where it
/// is none of them.
std::string OtherFormat(const std::string& path, std::string_view first_bytes);

}  // namespace fastclip
