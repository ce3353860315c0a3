#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace fastclip {

/// More files than this in one list are taken for a slip of the pen.
inline constexpr std::size_t kMaxListedFiles = 1'000'000;

/// "a::b" → {"a", "b"}. Throws std::runtime_error where a part is empty.
std::vector<std::string> SplitList(const std::string& list);

/// The files that one part of a list names, in its order:
///
///   {00000..00331}  a range, as wide as its wider end where one has a leading zero
///   {0..9..3}       a range with steps
///   {a,b}           alternatives; braces nest
///   * ? [a-z]       a glob, sorted by bytes; our manifests, sidecars, temporary files left out
///   NAME.txt        a file of such patterns, or NAME.list; one a line, # comments
///
/// A file's patterns are relative to its own folder.
/// Names without a glob need not exist. Throws std::runtime_error that names the part: a glob that
/// matches nothing, a file listed twice, braces that do not close, over kMaxListedFiles.
std::vector<std::string> ExpandPart(const std::string& part);

/// `list` as it must be spelled to name the same files from any folder; `folder`, an absolute one,
/// stands before what is relative. "synthetic:N" stays. So does all where the folder's own name
/// would read as a pattern.
std::string AbsoluteList(const std::string& list, const std::string& folder);

}  // namespace fastclip
