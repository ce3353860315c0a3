#pragma once

#include <string>
#include <vector>

namespace fastclip {

/// The candidate with the smallest edit distance to `word`, at most `at_most`; empty if there is
/// none.
std::string Nearest(const std::string& word, const std::vector<std::string>& candidates,
                    std::size_t at_most = std::string::npos);

/// "did you mean NAME?"
inline std::string DidYouMean(const std::string& name) { return "did you mean " + name + "?"; }

}  // namespace fastclip
