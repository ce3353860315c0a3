#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace fastclip {

/// Longer texts are truncated here, and "…" is added.
inline constexpr std::size_t kMaxPrintedBytes = 4096;

/// Makes `text` from data (a member's name, a key, a path) safe for a terminal: valid UTF-8 without
/// control characters. Control characters (C0, DEL, C1), line and paragraph separators, direction
/// marks and invalid UTF-8 become \xNN, byte by byte. Everything else stays, also backslashes. At
/// most kMaxPrintedBytes of `text` are shown.
std::string Printable(std::string_view text);

/// The same for a message that has names in it: line breaks stay, and it is not truncated.
std::string PrintableLines(std::string_view text);

/// "1 step", "2 steps". `noun` is singular; the plural adds an s.
std::string Counted(std::int64_t count, std::string_view noun);

}  // namespace fastclip
