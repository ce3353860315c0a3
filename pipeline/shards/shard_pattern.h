#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace fastclip {

/// Maximum files in one list; more is taken as a mistake.
inline constexpr std::size_t kMaxListedFiles = 1'000'000;

/// Throws std::runtime_error for braces deeper than 16.
void RefuseDeepBraces(int depth);
/// Throws std::runtime_error, which begins with `what`, for more than kMaxListedFiles names.
void RefuseManyNames(std::string_view what, std::size_t count);
/// `name` as a literal pattern: a backslash before each special character of a list (`[ ] { } , * ?
/// \` and colons of "::").
std::string EscapePattern(std::string_view name);
/// The name for a pattern without braces and globs.
std::string UnescapePattern(std::string_view pattern);
/// Bytes of the escape or character at text[at]: 2 or 1.
std::size_t SignBytes(std::string_view text, std::size_t at);
/// Whether a pattern has an unescaped * ? or [.
bool IsGlob(std::string_view pattern);

/// `pattern` with existing names escaped: all of it, or the longest existing folder at its start.
std::string EscapeExisting(const std::string& pattern);

/// Expands the braces of `text`, in order. Counts the results first: throws std::runtime_error for
/// more than kMaxListedFiles, more than 1 GiB of names, unmatched braces, or braces with neither a
/// range nor a comma.
std::vector<std::string> ExpandBraces(const std::string& text);

/// The first pair of braces.
struct Braces {
  std::size_t open;
  std::size_t close;
  std::vector<std::string_view>
      alternatives;  ///< split at the commas of this level; views of the text
};
/// Whether there is one; throws std::runtime_error for an unmatched brace.
bool FindBraces(std::string_view text, Braces& braces);

}  // namespace fastclip
