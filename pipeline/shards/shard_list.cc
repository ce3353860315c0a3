#include "pipeline/shards/shard_list.h"

#include <fmt/format.h>
#include <glob.h>

#include <algorithm>
#include <climits>
#include <filesystem>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string_view>
#include <unordered_set>

#include "pipeline/files/file_system.h"
#include "pipeline/shards/shard_pattern.h"
#include "pipeline/shards/sidecar_store.h"

namespace fastclip {
namespace {

constexpr std::int64_t kMaxListFileBytes = std::int64_t{256} << 20;

std::vector<std::string> ExpandGlob(const std::string& pattern) {
  if (pattern.size() > PATH_MAX) {
    throw std::runtime_error(
        fmt::format("the pattern has {} bytes, but a path has at most {}: '{}…'", pattern.size(),
                    PATH_MAX, pattern.substr(0, 80)));
  }
  glob_t found{};
  const std::unique_ptr<glob_t, void (*)(glob_t*)> owner(&found, globfree);
  const int result = glob(pattern.c_str(), GLOB_NOSORT, nullptr, &found);
  if (result != 0 && result != GLOB_NOMATCH) {
    throw std::runtime_error(fmt::format("'{}': the folder cannot be listed", pattern));
  }
  std::vector<std::string> names;
  for (std::size_t i = 0; i < found.gl_pathc; ++i) {
    std::string name = found.gl_pathv[i];
    if (name.ends_with(".manifest") || name.ends_with(".manifest.keys") ||
        name.ends_with(kSidecarSuffix) || name.ends_with(".tmp")) {
      continue;
    }
    if (!std::filesystem::is_directory(name)) names.push_back(std::move(name));
  }
  if (names.empty()) {
    throw std::runtime_error(
        fmt::format("no file matches '{}'{}; check the path{}{}", pattern, RelativeNote(pattern),
                    CommaNote(pattern),
                    pattern.find('[') == pattern.npos
                        ? ""
                        : " ([a-z] matches one character; write \\[ for a bracket)"));
  }
  std::ranges::sort(names);
  return names;
}

/// `pattern` from any folder; `folder` stands before what is relative. What exists under that very
/// name is escaped.
std::string AbsolutePattern(const std::string& pattern, const std::string& folder, int depth = 0) {
  RefuseDeepBraces(depth);
  if (IsUri(pattern)) return pattern;
  if (pattern.starts_with('/')) return EscapeExisting(pattern);
  const std::string base = folder.empty() || folder.ends_with('/') ? folder : folder + "/";
  const std::string whole = base + (pattern.starts_with("./") ? pattern.substr(2) : pattern);
  Braces braces;
  std::error_code ignored;
  const bool may_be_absolute = pattern.starts_with('{') &&
                               !std::filesystem::exists(whole, ignored) &&
                               FindBraces(pattern, braces) &&
                               std::ranges::any_of(braces.alternatives, [](std::string_view text) {
                                 return text.starts_with('/') || text.starts_with('{');
                               });
  if (!may_be_absolute) {
    const std::string escaped = EscapeExisting(whole);
    return escaped != whole ? escaped : EscapePattern(base) + whole.substr(base.size());
  }
  std::string all = "{";  // each alternative for itself
  for (const std::string_view alternative : braces.alternatives) {
    if (all.size() > 1) all += ',';
    all += AbsolutePattern(std::string(alternative), folder, depth + 1);
  }
  return all + pattern.substr(braces.close);
}

std::vector<std::string> ExpandWord(const std::string& word) {
  std::vector<std::string> all;
  for (const std::string& made : ExpandBraces(EscapeExisting(word))) {
    const std::string name = EscapeExisting(made);  // "data [v{1,2}]" only now is a folder
    if (IsGlob(name)) {
      std::ranges::move(ExpandGlob(name), std::back_inserter(all));
    } else {
      all.push_back(UnescapePattern(name));
    }
  }
  return all;
}

std::vector<std::string> ExpandListFile(const std::string& part) {
  const std::string path = UnescapePattern(EscapeExisting(part));
  std::error_code unreadable;
  const auto size = std::filesystem::file_size(path, unreadable);
  // Before it is opened: a pipe, which has no size, may have no writer.
  if (unreadable) throw std::runtime_error("the list file is missing or cannot be read");
  std::ifstream file(path);
  if (!file) throw std::runtime_error("the list file is missing or cannot be read");
  if (size > kMaxListFileBytes) throw std::runtime_error("the list file is larger than 256 MiB");
  std::vector<std::string> all;
  std::string line;
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  static constexpr std::string_view kMark = "\xEF\xBB\xBF";  // of UTF-8, at the beginning
  for (bool first_line = true; std::getline(file, line); first_line = false) {
    if (first_line && line.starts_with(kMark)) line.erase(0, kMark.size());
    const std::size_t first = line.find_first_not_of(" \t\r");
    if (first == std::string::npos || line[first] == '#') continue;
    line = line.substr(first, line.find_last_not_of(" \t\r") + 1 - first);
    if (line.find('\0') != line.npos)
      throw std::runtime_error("the list file has a zero byte; it must be text");
    std::ranges::move(ExpandWord(AbsolutePattern(line, folder.string())), std::back_inserter(all));
    if (all.size() > kMaxListedFiles) break;
  }
  if (all.empty()) throw std::runtime_error("the list file is empty");
  return all;
}

/// Whether the "::" at `colons` is in the name of a file or folder that exists; `end` is then where
/// what was looked up ends.
bool IsInName(const std::string& list, std::size_t start, std::size_t colons, std::size_t& end) {
  std::error_code ignored;
  end = std::min(list.find('/', colons), list.size());
  if (std::filesystem::exists(list.substr(start, end - start), ignored)) return true;
  end = std::min(list.find("::", colons + 2), list.size());
  return std::filesystem::is_regular_file(list.substr(start, end - start), ignored);
}

/// The end of the part that begins at `start`.
std::size_t PartEnd(const std::string& list, std::size_t start) {
  std::size_t at = start;
  while (at < list.size()) {
    std::size_t end = at + SignBytes(list, at);
    if (list.compare(at, 2, "::") == 0 && !IsInName(list, start, at, end)) return at;
    at = end;
  }
  return list.size();
}

}  // namespace

std::string RelativeNote(const std::string& path) {
  if (path.starts_with('/') || IsUri(path)) return "";
  std::error_code unknown;
  const std::string folder = std::filesystem::current_path(unknown).string();
  return unknown ? "" : fmt::format(" (relative to {})", folder);
}

std::string CommaNote(const std::string& path) {
  for (const char* ending : {".tar", ".csv", ".tsv", ".jsonl", ".gz"}) {
    if (path.find(ending + std::string(",")) == path.npos) continue;
    std::string joined = path;
    for (std::size_t at = joined.find(','); at != joined.npos; at = joined.find(',', at)) {
      joined.replace(at, 1, "::");
    }
    return fmt::format("; several are joined with '::', as in '{}'", joined);
  }
  return "";
}

std::string AbsolutePart(const std::string& part, const std::string& folder) {
  return AbsolutePattern(part, folder);
}

std::vector<std::string> SplitList(const std::string& list) {
  std::vector<std::string> parts;
  for (std::size_t start = 0; start <= list.size();) {
    const std::size_t end = PartEnd(list, start);
    parts.push_back(list.substr(start, end - start));
    if (parts.back().find_first_not_of(" \t\n") == std::string::npos) {
      throw std::runtime_error(
          list.empty()
              ? "the shard list is empty; set it, as in 'shards/{00000..00099}.tar'"
              : fmt::format("'{}': part {} of the list is empty (parts are separated by '::')",
                            list, parts.size()));
    }
    start = end + 2;
  }
  return parts;
}

std::vector<std::string> ExpandPart(const std::string& part) {
  try {
    const bool is_list_file = part.ends_with(".txt") || part.ends_with(".list");
    std::vector<std::string> names = is_list_file ? ExpandListFile(part) : ExpandWord(part);
    if (names.size() > kMaxListedFiles) {
      throw std::runtime_error(fmt::format("more than {} files", kMaxListedFiles));
    }
    std::unordered_set<std::string_view> seen;
    for (const std::string& name : names) {
      if (!seen.insert(name).second) {
        throw std::runtime_error(
            fmt::format("{} is listed twice; to repeat it on purpose, join it with '::'", name));
      }
    }
    return names;
  } catch (const std::runtime_error& error) {
    const std::string what = error.what();
    const bool names_it = what.find("'" + part + "'") != what.npos;
    throw std::runtime_error(names_it ? what : fmt::format("'{}': {}", part, what));
  }
}

}  // namespace fastclip
