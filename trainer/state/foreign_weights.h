#pragma once

#include <string>
#include <string_view>

namespace fastclip {

/// The error for a file that is not safetensors, by its first bytes: a PyTorch checkpoint (with a
/// command to convert it), a Git LFS pointer, a web page. "" if it is none of them.
std::string OtherFormat(const std::string& path, std::string_view first_bytes);

/// The error for the name of published weights ("laion2b_s34b_b79k") in place of a file, with a
/// command that saves them. "" if `path` exists or looks like a path.
std::string PublishedName(const std::string& path, const std::string& model);

}  // namespace fastclip
