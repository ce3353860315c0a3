#pragma once

#include <string>

namespace fastclip {

/// Like ftfy 6.3's fix_text() without its mojibake repair: references replaced in lines without
/// "<", quotes straightened, Latin ligatures and wide forms expanded, terminal escapes and control
/// characters removed, line breaks to "\n", NFC. O(n) for any nesting of references.
std::u32string FixText(const std::u32string& text);

}  // namespace fastclip
