#pragma once

#include <string>
#include <vector>

namespace fastclip {

/// Values that a byte has.
inline constexpr int kBytes = 256;

/// The bytes in CLIP's order: first those that print in Latin-1.
std::vector<int> ByteOrder();

/// How CLIP's vocabulary file writes the byte at `place` of ByteOrder(), in UTF-8: as itself in
/// Latin-1 if it prints, else as a character from U+0100 on.
std::string ByteLetter(int byte, int place);

}  // namespace fastclip
