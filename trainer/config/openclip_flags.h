#pragma once

#include <string_view>

namespace fastclip {

/// Why the OpenCLIP option `name` ("torchcompile") has no key, and what to use instead. Empty for
/// every other name. Options with a key are in KeyInfo::other_names. Source: params.py of
/// open_clip_train 3.3.
std::string_view WithoutCounterpart(std::string_view name);

}  // namespace fastclip
