#pragma once

#include <string>
#include <vector>

#include "pipeline/shards/shard_pattern.h"

namespace fastclip {

/// "a::b" → {"a", "b"}; a "::" in the name of a file or folder that exists stays. Throws
/// std::runtime_error where a part is empty.
std::vector<std::string> SplitList(const std::string& list);

/// The files that one part of a list names, in its order:
///
///   {00000..00331}  a range, as wide as its wider end where one has a leading zero
///   {0..9..3}       a range with steps
///   {a,b}           alternatives; braces nest
///   * ? [a-z]       a glob, sorted by bytes; our manifests, sidecars, temporary files left out
///   NAME.txt        a file of such patterns, or NAME.list; one a line, # comments
///
/// What exists under that very name is meant, before any sign is taken for a pattern: a file
/// 'a{b}c/000.tar', the folder of 'data [v2]/*.tar'. A backslash before [ ] { } , * ? : and itself
/// takes their meaning away.
///
/// A file's patterns are relative to its own folder. Names without a glob need not exist. Throws
/// std::runtime_error that names the part: a glob that matches nothing, a file listed twice, what
/// ExpandBraces throws.
std::vector<std::string> ExpandPart(const std::string& part);

/// A part as it must be spelled to name the same files from any folder; `folder`, an absolute one,
/// stands before what is relative, and names that exist are escaped.
std::string AbsolutePart(const std::string& part, const std::string& folder);

}  // namespace fastclip
