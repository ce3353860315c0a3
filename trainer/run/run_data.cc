#include "trainer/run/run_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <unordered_set>
#include <vector>

#include "pipeline/base/json_depth.h"
#include "trainer/base/file_io.h"

namespace fastclip {
namespace {

using nlohmann::json;

std::string PathIn(const std::string& run) { return run + "/data.jsonl"; }

std::string Hex(std::uint64_t hash) { return fmt::format("{:016x}", hash); }

// A name can hold any bytes; both sides of a comparison are encoded the same way.
std::string Line(const json& j) { return j.dump(-1, ' ', false, json::error_handler_t::replace); }

json ToJson(const ListedFile& file) {
  return {{"part", file.part},
          {"name", file.name},
          {"path", std::filesystem::absolute(file.path).lexically_normal().string()},
          {"records", file.records},
          {"hash", Hex(file.content_hash)}};
}

struct RunData {
  std::string hash;
  std::vector<json> files;
};

/// Whether a line was written by ToJson().
bool IsFile(const json& line) {
  return line.value("path", json()).is_string() && line.value("name", json()).is_string() &&
         line.value("part", json(0)).is_number_integer();
}

/// Nothing if the file is missing or damaged: it only improves an error message.
std::optional<RunData> Read(const std::string& run) {
  std::error_code absent;
  if (!std::filesystem::is_regular_file(PathIn(run), absent)) return std::nullopt;
  std::ifstream file(PathIn(run));
  RunData data;
  for (std::string text; std::getline(file, text);) {
    if (IsTooDeepJson(text)) return std::nullopt;
    json line = json::parse(text, nullptr, /*allow_exceptions=*/false);
    const bool is_head = data.hash.empty();
    if (!line.is_object() || (is_head ? !line.value("hash", json()).is_string() : !IsFile(line))) {
      return std::nullopt;
    }
    if (data.hash.empty()) {
      data.hash = line.value("hash", "");
      if (data.hash.empty()) return std::nullopt;
    } else {
      data.files.push_back(std::move(line));
    }
  }
  return data.hash.empty() ? std::nullopt : std::optional(data);
}

std::string PathOf(const json& file) { return file.value("path", ""); }

/// Names are relative to the folder that holds all files of a part.
std::string NameOf(const json& file) {
  return fmt::format("{}/{}", file.value("part", 0), file.value("name", ""));
}

bool HaveSameRecords(const json& a, const json& b) {
  return a.value("records", json()) == b.value("records", json()) &&
         a.value("hash", json()) == b.value("hash", json());
}

/// Describes how the files of `before` and `now`, identified by `key`, differ.
std::string Compare(const std::vector<json>& before, const std::vector<json>& now,
                    std::string (*key)(const json&)) {
  std::map<std::string, const json*> are;
  for (const json& file : now) are.emplace(key(file), &file);
  std::set<std::string> were;
  for (const json& file : before) were.insert(key(file));
  /// The file that is not under its old name, but has the same records.
  const auto renamed = [&](const json& was) {
    return std::ranges::find_if(are, [&](const auto& named) {
      return !were.contains(named.first) && HaveSameRecords(*named.second, was) &&
             named.second->value("part", 0) == was.value("part", 0);
    });
  };
  std::string first;
  std::int64_t count = 0;
  const auto note = [&](const json& file, const std::string& what) {
    if (++count == 1) first = fmt::format("{} {}", PathOf(file), what);
  };
  for (const json& was : before) {
    auto found = are.find(key(was));
    if (found != are.end()) {
      if (!HaveSameRecords(*found->second, was)) note(*found->second, "has different records");
    } else if (found = renamed(was); found != are.end()) {
      note(was, fmt::format("is {} now, with the same records (a file's name is part of the hash, "
                            "its folder is not: give it its old name)",
                            PathOf(*found->second)));
    } else {
      note(was, "is no longer in the list");
      continue;
    }
    are.erase(found);
  }
  for (const json& file : now) {
    if (are.contains(key(file))) note(file, "is new");
  }
  if (count == 0) return "the same files, in another order";
  if (count == 1) return first;
  return fmt::format("{}, and {} more file{} differ{}", first, count - 1, count == 2 ? "" : "s",
                     count == 2 ? "s" : "");
}

}  // namespace

void WriteRunData(const std::string& run, std::uint64_t hash,
                  const std::vector<ListedFile>& files) {
  if (const auto known = Read(run); known && known->hash == Hex(hash)) return;
  std::string text = Line({{"hash", Hex(hash)}}) + "\n";
  for (const ListedFile& file : files) text += Line(ToJson(file)) + "\n";
  ReplaceFile(PathIn(run), text);
}

std::string DescribeDataChange(const std::string& run, const std::vector<ListedFile>& now) {
  const std::optional<RunData> before = Read(run);
  if (!before || before->files.empty()) return "";
  std::vector<json> files;
  std::unordered_set<std::string> paths;
  for (const ListedFile& file : now) {
    files.push_back(json::parse(Line(ToJson(file))));
    paths.insert(PathOf(files.back()));
  }
  // If all files were moved, compare their names.
  const bool moved = std::ranges::none_of(
      before->files, [&](const json& was) { return paths.contains(PathOf(was)); });
  return Compare(before->files, files, moved ? NameOf : PathOf);
}

}  // namespace fastclip
