#pragma once

#include <fstream>
#include <string>

namespace fastclip {

inline void WriteText(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

/// Ids from 512 on: "ca", "cat" at a word's end, "aa", "aaaa", "'s" at a word's end; then start,
/// end.
inline constexpr const char* kTinyVocabulary =
    "#version: tiny\nc a\nca t</w>\na a\naa aa\n' s</w>\n";

}  // namespace fastclip
