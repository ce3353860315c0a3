#pragma once

#include <string>
#include <string_view>

namespace fastclip {

/// The key that `unknown` probably means: by another program's name, or by the same last word in
/// another section ("train.lr" is learning_rate.lr). Empty: not known.
std::string KeyMeantBy(std::string_view unknown);

/// The key that `unknown` is a slip of, by its name or by another program's name for it
/// ("pipeline.worker" is pipeline.threads). Empty: none is near.
std::string KeyNearTo(std::string_view unknown);

/// Advice for an error about `unknown`: that key, or why an OpenCLIP option has no key. Empty:
/// none.
std::string AdviceOn(std::string_view unknown);

}  // namespace fastclip
