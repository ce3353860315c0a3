#include "pipeline/shard_list.h"

#include <fmt/format.h>
#include <glob.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <unordered_set>

#include "pipeline/sidecar_store.h"

namespace fastclip {
namespace {

constexpr std::int64_t kMaxListFileBytes = std::int64_t{256} << 20;

struct Braces {
  std::size_t open;
  std::size_t close;
  std::vector<std::string_view> alternatives;  // split at the commas of this level
};

/// The first pair of braces; nothing where there is none.
std::optional<Braces> FindBraces(std::string_view text) {
  const std::size_t open = text.find_first_of("{}");
  if (open == std::string_view::npos) return std::nullopt;
  Braces braces{open, 0, {}};
  if (text[open] == '{') {
    std::size_t start = open + 1;
    int depth = 0;
    for (std::size_t i = open; i < text.size(); ++i) {
      if (text[i] == '{') ++depth;
      const bool closes = text[i] == '}' && --depth == 0;
      if (closes || (text[i] == ',' && depth == 1)) {
        braces.alternatives.push_back(text.substr(start, i - start));
        start = i + 1;
      }
      if (closes) {
        braces.close = i;
        return braces;
      }
    }
  }
  throw std::runtime_error("a brace has no partner");
}

std::optional<std::int64_t> ToInteger(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.size() > 18)
    return std::nullopt;
  return value;
}

bool HasLeadingZero(std::string_view number) {
  if (number.starts_with('-')) number.remove_prefix(1);
  return number.size() > 1 && number.front() == '0';
}

/// "00000..00331" or "0..9..3"; nothing where the text is no range.
std::optional<std::vector<std::string>> ExpandRange(std::string_view text) {
  const std::size_t dots = text.find("..");
  if (dots == std::string_view::npos) return std::nullopt;
  const std::string_view first_text = text.substr(0, dots);
  std::string_view last_text = text.substr(dots + 2);
  std::int64_t step = 1;
  if (const std::size_t more = last_text.find(".."); more != std::string_view::npos) {
    step = ToInteger(last_text.substr(more + 2)).value_or(0);
    last_text = last_text.substr(0, more);
  }
  const auto first = ToInteger(first_text), last = ToInteger(last_text);
  if (!first || !last || step < 1) {
    throw std::runtime_error(fmt::format(
        "'{{{}}}' is no range of whole numbers; write {{00000..00331}} or {{0..9..3}}", text));
  }
  const std::size_t width = HasLeadingZero(first_text) || HasLeadingZero(last_text)
                                ? std::max(first_text.size(), last_text.size())
                                : 0;
  const std::int64_t span = *last >= *first ? *last - *first : *first - *last;
  const std::int64_t count = span / step + 1;
  if (count > static_cast<std::int64_t>(kMaxListedFiles)) {
    throw std::runtime_error(
        fmt::format("'{{{}}}' makes {} names; {} is the most", text, count, kMaxListedFiles));
  }
  std::vector<std::string> names;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t value = *last >= *first ? *first + i * step : *first - i * step;
    names.push_back(fmt::format("{:0{}}", value, width));
  }
  return names;
}

std::vector<std::string> ExpandBraces(const std::string& text, int depth = 0) {
  if (depth > 16) throw std::runtime_error("more than 16 pairs of braces");
  const std::optional<Braces> braces = FindBraces(text);
  if (!braces) return {text};
  std::vector<std::string> middles;
  if (braces->alternatives.size() > 1) {
    for (const std::string_view alternative : braces->alternatives) {
      std::ranges::move(ExpandBraces(std::string(alternative), depth + 1),
                        std::back_inserter(middles));
    }
  } else if (auto range = ExpandRange(braces->alternatives.front())) {
    middles = std::move(*range);
  } else {
    throw std::runtime_error(
        fmt::format("'{{{}}}' holds neither a range nor a comma", braces->alternatives.front()));
  }
  const std::vector<std::string> tails = ExpandBraces(text.substr(braces->close + 1), depth + 1);
  if (middles.size() * tails.size() > kMaxListedFiles) {
    throw std::runtime_error(fmt::format("the braces make {} names; {} is the most",
                                         middles.size() * tails.size(), kMaxListedFiles));
  }
  const std::string head = text.substr(0, braces->open);
  std::vector<std::string> all;
  all.reserve(middles.size() * tails.size());
  for (const std::string& middle : middles) {
    for (const std::string& tail : tails) all.push_back(head + middle + tail);
  }
  return all;
}

std::vector<std::string> ExpandGlob(const std::string& pattern) {
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
    throw std::runtime_error(fmt::format("no file matches '{}'; is the path right?", pattern));
  }
  std::ranges::sort(names);
  return names;
}

std::vector<std::string> ExpandWord(const std::string& word) {
  std::vector<std::string> all;
  for (const std::string& name : ExpandBraces(word)) {
    if (name.find_first_of("*?[") == std::string::npos) {
      all.push_back(name);
    } else {
      std::ranges::move(ExpandGlob(name), std::back_inserter(all));
    }
  }
  return all;
}

std::vector<std::string> ExpandListFile(const std::string& path) {
  std::error_code unreadable;
  const auto size = std::filesystem::file_size(path, unreadable);
  std::ifstream file(path);
  if (unreadable || !file) throw std::runtime_error("no such list file, or it cannot be read");
  if (size > kMaxListFileBytes) throw std::runtime_error("a list file of more than 256 MiB");
  std::vector<std::string> all;
  std::string line;
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  while (std::getline(file, line)) {
    const std::size_t first = line.find_first_not_of(" \t\r");
    if (first == std::string::npos || line[first] == '#') continue;
    line = line.substr(first, line.find_last_not_of(" \t\r") + 1 - first);
    std::ranges::move(ExpandWord((folder / line).string()), std::back_inserter(all));
    if (all.size() > kMaxListedFiles) break;
  }
  if (all.empty()) throw std::runtime_error("this list file names no file");
  return all;
}

std::string AbsolutePattern(const std::string& pattern, const std::string& folder) {
  if (pattern.starts_with('/')) return pattern;
  const std::optional<Braces> braces =
      pattern.starts_with('{') ? FindBraces(pattern) : std::nullopt;
  if (!braces || std::ranges::none_of(braces->alternatives, [](std::string_view alternative) {
        return alternative.starts_with('/') || alternative.starts_with('{');
      })) {
    return folder + "/" + (pattern.starts_with("./") ? pattern.substr(2) : pattern);
  }
  std::string all = "{";  // some alternatives may be absolute: each for itself
  for (const std::string_view alternative : braces->alternatives) {
    if (all.size() > 1) all += ',';
    all += AbsolutePattern(std::string(alternative), folder);
  }
  return all + pattern.substr(braces->close);
}

}  // namespace

std::string AbsoluteList(const std::string& list, const std::string& folder) {
  if (list.empty() || folder.find_first_of("{}*?[") != std::string::npos ||
      folder.find("::") != std::string::npos) {
    return list;
  }
  std::string all;
  for (const std::string& part : SplitList(list)) {
    if (!all.empty()) all += "::";
    const bool is_file = !part.starts_with("synthetic:");
    all += is_file ? AbsolutePattern(part, folder == "/" ? "" : folder) : part;
  }
  return all;
}

std::vector<std::string> SplitList(const std::string& list) {
  std::vector<std::string> parts;
  for (std::size_t start = 0; start <= list.size();) {
    const std::size_t end = std::min(list.find("::", start), list.size());
    parts.push_back(list.substr(start, end - start));
    if (parts.back().find_first_not_of(" \t\n") == std::string::npos) {
      throw std::runtime_error(
          list.empty() ? "the list of shards is empty; name some, as in 'shards/{00000..00099}.tar'"
                       : fmt::format("'{}': part {} of the list, between '::', is empty", list,
                                     parts.size()));
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
      throw std::runtime_error(fmt::format("over {} files", kMaxListedFiles));
    }
    std::unordered_set<std::string_view> seen;
    for (const std::string& name : names) {
      if (!seen.insert(name).second) {
        throw std::runtime_error(
            fmt::format("{} is listed twice; repeat it with '::' if you mean it", name));
      }
    }
    return names;
  } catch (const std::runtime_error& error) {
    throw std::runtime_error(fmt::format("shard list '{}': {}", part, error.what()));
  }
}

}  // namespace fastclip
