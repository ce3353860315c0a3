#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace fastclip {

/// More files than this in one list are taken for a slip of the pen.
inline constexpr std::size_t kMaxListedFiles = 1'000'000;

/// Braces may lie 16 deep in each other. Throws std::runtime_error.
void RefuseDeepBraces(int depth);
/// `name` as a pattern that means just that: a backslash before each sign that has a meaning in a
/// list (`[ ] { } , * ? \` and colons of "::").
std::string EscapePattern(std::string_view name);
/// The name that a pattern without braces and globs means.
std::string UnescapePattern(std::string_view pattern);
/// Bytes of the escape, or of the sign, that begins at text[at]: 2 or 1.
std::size_t SignBytes(std::string_view text, std::size_t at);
/// Whether a pattern has * ? or [ that is not escaped.
bool IsGlob(std::string_view pattern);

/// `pattern` with what exists under that very name escaped: all of it, or the longest folder that
/// it begins with.
std::string EscapeExisting(const std::string& pattern);

/// The patterns that `text` makes by its braces, in order. Counts them before it makes them: throws
/// std::runtime_error for over kMaxListedFiles, over 1 GiB of names, braces that do not close or
/// hold neither a range nor a comma.
std::vector<std::string> ExpandBraces(const std::string& text);

/// The first pair of braces.
struct Braces {
  std::size_t open;
  std::size_t close;
  std::vector<std::string_view> alternatives;  ///< split at the commas of this level; views of it
};
/// Whether there is one; throws std::runtime_error for a brace without a partner.
bool FindBraces(std::string_view text, Braces& braces);

}  // namespace fastclip
