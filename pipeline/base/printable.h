#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace fastclip {

/// Longer texts are cut here, with "…" behind.
inline constexpr std::size_t kMaxPrintedBytes = 4096;

/// `text` from data (a member's name, a key, a path) as it may go to a terminal: valid UTF-8
/// without control characters, so that no name moves the cursor, starts a line or turns the text
/// around. Controls (C0, DEL, C1), line and paragraph separators, marks that set the direction of
/// writing, and bytes that are no UTF-8 become \xNN, byte by byte. All else, backslashes too,
/// stays. At most kMaxPrintedBytes of `text` are shown.
std::string Printable(std::string_view text);

/// The same for a message of ours that has names in it: its line breaks stay, and it is not cut.
std::string PrintableLines(std::string_view text);

/// "1 step", "2 steps". `noun` is in the singular; its plural has an s.
std::string Counted(std::int64_t count, std::string_view noun);

}  // namespace fastclip
