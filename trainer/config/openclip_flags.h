#pragma once

#include <string_view>

namespace fastclip {

/// Why OpenCLIP's option of that name ("torchcompile") has no key here, and what there is instead.
/// Empty for every other name. Options with a key are KeyInfo::other_names. Source: params.py of
/// open_clip_train 3.3.
std::string_view WithoutCounterpart(std::string_view name);

}  // namespace fastclip
