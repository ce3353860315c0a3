#include "trainer/base/config_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <sstream>

#include "pipeline/base/nearest.h"
#include "trainer/base/config_value.h"
#include "trainer/base/file_io.h"

namespace fastclip {

namespace {

constexpr int kMaxKeyParts = 64;

/// Number of the first line whose key or table name has more dots than any known key; toml++
/// recurses over them. 0: none.
int FirstDeepKey(std::string_view text) {
  int line = 1, dots = 0;
  bool in_key = true;
  for (const char c : text) {
    if (c == '\n') {
      ++line;
      dots = 0;
      in_key = true;
    } else if (c == '=' || c == '#') {
      in_key = false;
    } else if (in_key && c == '.' && ++dots > kMaxKeyParts) {
      return line;
    }
  }
  return 0;
}

}  // namespace

std::string ConfigTable::AdviceOn(const std::string& unknown) const {
  // In a misspelled section (optimiser.name), a small typo is likelier than another program's name.
  constexpr std::size_t kSlip = 2;
  const std::string section = unknown.substr(0, unknown.find('.') + 1);
  const auto in_section = [&](const Entry& entry) { return entry.key.starts_with(section); };
  if (std::ranges::none_of(entries_, in_section)) {
    const std::string key = Nearest(unknown, keys(), kSlip);
    if (!key.empty()) return DidYouMean(key);
  }
  const std::string advice = advice_ ? advice_(unknown) : "";
  return advice.empty() ? DidYouMean(Nearest(unknown, keys())) : advice;
}

void ConfigTable::Set(const std::string& key, const Value& value, const std::string& where) {
  const auto entry = std::find_if(entries_.begin(), entries_.end(),
                                  [&](const Entry& candidate) { return candidate.key == key; });
  if (entry == entries_.end()) {
    throw ConfigError(fmt::format("{}: unknown key {}; {}", where, key, AdviceOn(key)));
  }
  if (!entry->set(value)) {
    std::ostringstream given;
    given << toml::node_view<const toml::node>(value.node);
    throw ConfigError(
        fmt::format("{}: {} must be {}, not {}", where, key, entry->kind, given.str()));
  }
  origin_[key] = where;
}

template <class SetKey>
void ConfigTable::ReadEach(const std::string& text, const std::string& where, const SetKey& set) {
  toml::table table;
  if (const int line = FirstDeepKey(text); line > 0) {
    throw ConfigError(
        fmt::format("{}:{}: a key with more than {} parts", where, line, kMaxKeyParts));
  }
  try {
    table = toml::parse(text, where);
  } catch (const toml::parse_error& error) {
    throw ConfigError(
        fmt::format("{}:{}: {}", where, error.source().begin.line, error.description()));
  }
  const auto place = [&](const toml::node& node) {
    return fmt::format("{}:{}", where, node.source().begin.line);
  };
  for (const auto& [name, node] : table) {
    const std::string section(name.str());
    const toml::table* entries = node.as_table();
    if (entries == nullptr) {
      set(section, Value{node}, place(node));
      continue;
    }
    for (const auto& [key, value] : *entries) {
      set(section + "." + std::string(key.str()), Value{value}, place(value));
    }
  }
}

void ConfigTable::ReadText(const std::string& text, const std::string& where) {
  ReadEach(text, where,
           [this](const std::string& key, const Value& value, const std::string& place) {
             Set(key, value, place);
           });
}

void ConfigTable::ReadKnownKeys(const std::string& text, const std::string& where) {
  ReadEach(text, where,
           [this](const std::string& key, const Value& value, const std::string& place) {
             try {
               Set(key, value, place);
             } catch (const ConfigError&) {  // another version's
             }
           });
}

void ConfigTable::ReadFile(const std::string& path) {
  if (std::error_code ignored; std::filesystem::is_directory(path, ignored)) {
    throw ConfigError(fmt::format("{}: is a folder; use a config file", path));
  }
  if (std::error_code ignored; !std::filesystem::exists(path, ignored)) {
    throw ConfigError(fmt::format("{}: no such file; check the path", path));
  }
  constexpr std::int64_t kLimit = 1 << 20;
  std::string text;
  try {
    text = ReadWholeFile(path, kLimit);
  } catch (const std::runtime_error& error) {
    throw ConfigError(error.what());
  }
  ReadText(text, path);
}

void ConfigTable::Override(const std::string& word) {
  const std::size_t equals = word.find('=');
  if (equals == std::string::npos || equals == 0) {
    throw ConfigError(fmt::format("'{}' is not of the form section.key=value", word));
  }
  const std::string key = word.substr(0, equals);
  const std::string value = word.substr(equals + 1);
  toml::table table;
  try {
    table = toml::parse("value = " + value);
    if (table.size() != 1) throw ConfigError("");
  } catch (const std::exception&) {  // not TOML: a bare string, as typed in a shell
    table = toml::table{{"value", value}};
  }
  Set(key, {*table.get("value")}, "the command line");
}

void ConfigTable::CheckRequired(const std::string& where) const {
  for (const Entry& entry : entries_) {
    if (entry.required && !origin_.contains(entry.key)) {
      throw ConfigError(
          fmt::format("{}: {} has no default; set it to {}", where, entry.key, entry.kind));
    }
  }
}

std::string ConfigTable::Origin(const std::string& key) const {
  const auto found = origin_.find(key);
  return found == origin_.end() ? "the default" : found->second;
}

ConfigError ConfigTable::Error(const std::string& key, const std::string& what) const {
  return ConfigError(fmt::format("{}: {}: {}", Origin(key), key, what));
}

std::vector<std::string> ConfigTable::keys() const {
  std::vector<std::string> keys;
  for (const Entry& entry : entries_) keys.push_back(entry.key);
  return keys;
}

const std::string& ConfigTable::KindOf(const std::string& key) const {
  const auto found = std::ranges::find(entries_, key, &Entry::key);
  if (found == entries_.end()) throw std::out_of_range(key + " is not a key");
  return found->kind;
}

std::vector<std::pair<std::string, std::string>> ConfigTable::Values() const {
  std::vector<std::pair<std::string, std::string>> values;
  for (const Entry& entry : entries_) values.emplace_back(entry.key, entry.write());
  return values;
}

std::string ConfigTable::Write(
    const std::function<std::string(const std::string&)>& explain) const {
  std::string text;
  std::string section;
  for (const Entry& entry : entries_) {
    const std::size_t dot = entry.key.find('.');
    const std::string in = dot == std::string::npos ? "" : entry.key.substr(0, dot);
    if (in != section) text += fmt::format("\n[{}]\n", in);
    section = in;
    const std::string name = entry.key.substr(dot == std::string::npos ? 0 : dot + 1);
    if (explain) text += explain(entry.key);
    text += entry.required && entry.is_empty()
                ? fmt::format("# {} = …  no default: must be set\n", name)
                : fmt::format("{} = {}\n", name, entry.write());
  }
  return text;
}

}  // namespace fastclip
