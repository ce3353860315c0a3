#pragma once

#include <string>
#include <vector>

#include "pipeline/shards/shard_pattern.h"

namespace fastclip {

/// "a::b" → {"a", "b"}; a "::" in the name of an existing file or folder is kept. Throws
/// std::runtime_error for an empty part.
std::vector<std::string> SplitList(const std::string& list);

/// The files that one part of a list names, in its order:
///
///   {00000..00331}  a range, as wide as its wider end where one has a leading zero
///   {0..9..3}       a range with steps
///   {a,b}           alternatives; braces nest
///   * ? [a-z]       a glob, sorted by bytes; our manifests, sidecars, temporary files left out
///   NAME.txt        a file of such patterns, or NAME.list; one a line, # comments
///
/// An existing file or folder with exactly that name takes precedence over patterns: a file
/// 'a{b}c/000.tar', the folder of 'data [v2]/*.tar'. A backslash escapes [ ] { } , * ? : and
/// itself.
///
/// A file's patterns are relative to its own folder. Names without a glob need not exist. Throws
/// std::runtime_error with the part for a glob without matches, a file listed twice, and what
/// ExpandBraces throws.
std::vector<std::string> ExpandPart(const std::string& part);

/// " (relative to /work)" for a relative path, "" for others: for errors about files that are not
/// there.
std::string RelativeNote(const std::string& path);
/// For a path that is not there: how files are joined, if commas seem to join some; else "".
std::string CommaNote(const std::string& path);

/// A part rewritten to mean the same files from any folder: relative names get the absolute
/// `folder` as prefix, and existing names are escaped.
std::string AbsolutePart(const std::string& part, const std::string& folder);

}  // namespace fastclip
