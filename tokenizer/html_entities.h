#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace fastclip {

/// The characters of a named reference in the HTML standard, such as "amp;" or, for old names that
/// need no semicolon, "amp". Null for an unknown name.
const std::u32string* FindHtmlEntity(std::string_view name);

/// The characters of "&…;" for names that end in a semicolon, and for lower-case names written in
/// capitals, such as "EACUTE;" (É), unless they begin with a name that needs no semicolon. Null for
/// an unknown name.
const std::u32string* FindHtmlEntityOfAnyCase(std::string_view name);

/// The character of a numeric reference. 0x80 to 0x9F mean Windows-1252; characters not allowed in
/// text become nothing; numbers outside Unicode become U+FFFD.
std::u32string HtmlCharacter(std::uint32_t number);

/// The Windows-1252 meaning of U+0080 to U+009F; its five undefined values stay as they are.
char32_t Windows1252(char32_t control);

/// Replaces all references once, as browsers do: "&amp" and "&notit;" count too.
std::u32string UnescapeHtml(std::u32string_view text);

/// One text of "name:hex[,hex]" words, in html_entity_names.cc.
extern const char kHtmlEntityNames[];

}  // namespace fastclip
