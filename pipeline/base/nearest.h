#pragma once

#include <string>
#include <vector>

namespace fastclip {

/// The candidate with the smallest edit distance to `word`, of at most `at_most`; empty: none has.
std::string Nearest(const std::string& word, const std::vector<std::string>& candidates,
                    std::size_t at_most = std::string::npos);

/// "did you mean NAME?"
inline std::string DidYouMean(const std::string& name) { return "did you mean " + name + "?"; }

}  // namespace fastclip
