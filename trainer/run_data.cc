#include "trainer/run_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "trainer/file_io.h"

namespace fastclip {
namespace {

using nlohmann::json;

std::string PathIn(const std::string& run) { return run + "/data.jsonl"; }

std::string Hex(std::uint64_t hash) { return fmt::format("{:016x}", hash); }

// A name may hold any bytes; both sides of a comparison are spelled by the same rule.
std::string Line(const json& j) { return j.dump(-1, ' ', false, json::error_handler_t::replace); }

json ToJson(const ListedFile& file) {
  return {{"name", file.name},
          {"path", std::filesystem::absolute(file.path).lexically_normal().string()},
          {"records", file.records},
          {"hash", Hex(file.content_hash)}};
}

struct RunData {
  std::string hash;
  std::vector<json> files;
};

std::optional<RunData> Read(const std::string& run) {
  std::ifstream file(PathIn(run));
  RunData data;
  for (std::string text; std::getline(file, text);) {
    json line = json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (!line.is_object()) return std::nullopt;
    if (data.hash.empty()) {
      data.hash = line.value("hash", "");
      if (data.hash.empty()) return std::nullopt;
    } else {
      data.files.push_back(std::move(line));
    }
  }
  return data.hash.empty() ? std::nullopt : std::optional(data);
}

/// How the files of `before` and `now`, which are told apart by `key`, differ.
std::string Compare(const std::vector<json>& before, const std::vector<json>& now,
                    const char* key) {
  std::map<std::string, const json*> are;
  for (const json& file : now) are.emplace(file.value(key, ""), &file);
  std::string first;
  std::int64_t count = 0;
  const auto note = [&](const json& file, const char* what) {
    if (++count == 1) first = fmt::format("{} {}", file.value("path", ""), what);
  };
  for (const json& was : before) {
    const auto found = are.find(was.value(key, ""));
    if (found == are.end()) {
      note(was, "is gone");
      continue;
    }
    const json& is = *found->second;
    if (is.value("records", json()) != was.value("records", json()) ||
        is.value("hash", json()) != was.value("hash", json())) {
      note(is, "has other records");
    }
    are.erase(found);
  }
  for (const json& file : now) {
    if (are.contains(file.value(key, ""))) note(file, "is new");
  }
  if (count == 0) return "the files are the same in another order";
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
  bool named_alike = false;
  for (const ListedFile& file : now) files.push_back(json::parse(Line(ToJson(file))));
  for (const json& file : files) {
    named_alike = named_alike || std::ranges::any_of(before->files, [&](const json& was) {
                    return was.value("name", "") == file.value("name", "");
                  });
    if (named_alike) break;
  }
  // Names are relative to the folder that holds all files, which is another one where a whole
  // folder is gone.
  return Compare(before->files, files, named_alike ? "name" : "path");
}

}  // namespace fastclip
