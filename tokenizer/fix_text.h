#pragma once

#include <string>

namespace fastclip {

/// What ftfy 6.3's fix_text() makes of a text, less its mojibake repair: references replaced while
/// a line holds no "<", quotes straightened, Latin ligatures and wide forms taken apart, terminal
/// escapes and control characters removed, line breaks to "\n", NFC. Costs O(n), however deeply
/// references are nested.
std::u32string FixText(const std::u32string& text);

}  // namespace fastclip
