#include "trainer/base/config_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <sstream>
#include <utility>
#include <vector>

#include "pipeline/base/nearest.h"
#include "pipeline/base/suggested_command.h"
#include "trainer/base/config_value.h"
#include "trainer/base/file_io.h"

namespace fastclip {

namespace {

constexpr int kMaxKeyParts = 64;
constexpr std::string_view kCommandLine = "the command line";

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

namespace {

/// For a value that is no list, but could be one item, or items with commas between them: how the
/// list is written. "" for other values.
std::string AsList(const std::string& key, const std::string& kind, const toml::node& node,
                   bool in_shell) {
  if (!kind.starts_with("a list of") || node.is_array() || node.is_table()) return "";
  const bool quoted = kind == "a list of quoted strings";
  std::string given;
  if (const auto text = node.value_exact<std::string>()) {
    given = *text;
  } else {
    std::ostringstream out;
    out << toml::node_view<const toml::node>(node);
    given = out.str();
  }
  std::erase_if(given, [](char c) { return c == '[' || c == ']' || c == ' ' || c == '"'; });
  const bool numbers = given.find_first_not_of("0123456789.,eE+-") == given.npos;
  if (given.empty() || given.find('\'') != given.npos || (!quoted && !numbers)) return "";
  std::string items;
  std::istringstream parts(given);
  for (std::string item; std::getline(parts, item, ',');) {
    items += (items.empty() ? "" : ", ") + (quoted ? "\"" + item + "\"" : item);
  }
  return in_shell ? fmt::format("; write {}='[{}]'", key, items)
                  : fmt::format("; write {} = [{}]", key.substr(key.rfind('.') + 1), items);
}

/// For a value that is none of a key's: the one that another program calls so, or one with a slip.
std::string NearValue(const std::string& given, const std::vector<std::string>& choices) {
  static constexpr std::pair<std::string_view, std::string_view> kOtherNames[] = {
      {"amp_bfloat16", "amp_bf16"},
      {"bf16", "amp_bf16"},
      {"bfloat16", "amp_bf16"},
      {"pure_bf16", "amp_bf16"},
      {"fp16", "amp"},
      {"float16", "amp"},
      {"amp_fp16", "amp"},
      {"pure_fp16", "amp"},
      {"float32", "fp32"},
      {"clip", "openclip"},
      {"infonce", "openclip"},
      {"gpu", "cuda"},
      {"sgd", "sgdm"},
      {"adam", "adamw"}};
  for (const auto& [other, choice] : kOtherNames) {
    if (given == other && std::ranges::find(choices, choice) != choices.end()) {
      return "; " + DidYouMean(std::string(choice));
    }
  }
  const std::string near = Nearest(given, choices, given.size() < 5 ? 1 : 2);
  return near.empty() ? "" : "; " + DidYouMean(near);
}

}  // namespace

void ConfigTable::Set(const std::string& key, const Value& value, const std::string& where) {
  const auto entry = std::find_if(entries_.begin(), entries_.end(),
                                  [&](const Entry& candidate) { return candidate.key == key; });
  if (entry == entries_.end()) {
    throw ConfigError(fmt::format("{}: unknown key {}; {}", where, key, AdviceOn(key)));
  }
  if (!entry->set(value)) {
    std::ostringstream given;
    given << toml::node_view<const toml::node>(value.node);
    const std::string text = value.node.value<std::string>().value_or("");
    throw ConfigError(fmt::format("{}: {} must be {}, not {}{}{}", where, key, entry->kind,
                                  given.str(),
                                  AsList(key, entry->kind, value.node, where == kCommandLine),
                                  text.empty() ? "" : NearValue(text, entry->choices)));
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
    const bool bare = error.description().find("determine value type") != std::string_view::npos;
    throw ConfigError(fmt::format("{}:{}: {}{}", where, error.source().begin.line,
                                  error.description(),
                                  bare ? "; text needs quotes, as in name = \"text\"" : ""));
  }
  std::vector<std::pair<std::string, const toml::node*>> found;
  for (const auto& [name, node] : table) {
    const std::string section(name.str());
    const toml::table* entries = node.as_table();
    if (entries == nullptr) {
      found.emplace_back(section, &node);
      continue;
    }
    for (const auto& [key, value] : *entries) {
      found.emplace_back(section + "." + std::string(key.str()), &value);
    }
  }
  const auto line = [](const auto& entry) { return entry.second->source().begin.line; };
  std::ranges::stable_sort(found, {}, line);
  for (const auto& entry : found) {
    set(entry.first, Value{*entry.second}, fmt::format("{}:{}", where, line(entry)));
  }
}

void ConfigTable::ReadText(const std::string& text, const std::string& where) {
  std::string wrong;
  ReadEach(text, where, [&](const std::string& key, const Value& value, const std::string& place) {
    try {
      Set(key, value, place);
    } catch (const ConfigError& error) {
      wrong += (wrong.empty() ? "" : "\n") + std::string(error.what());
    }
  });
  if (!wrong.empty()) throw ConfigError(wrong);
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

namespace {

/// The config, or folder with one, beside `path` whose name is nearest.
std::string NearFile(const std::filesystem::path& path) {
  const std::filesystem::path file = (path / "").parent_path();  // without a slash at its end
  std::error_code unread;
  std::filesystem::directory_iterator entries(
      file.has_parent_path() ? file.parent_path() : std::filesystem::path("."), unread);
  std::vector<std::string> names;
  for (; !unread && entries != std::filesystem::directory_iterator(); entries.increment(unread)) {
    const std::filesystem::path& entry = entries->path();
    std::error_code absent;
    if (entry.extension() == ".toml" || std::filesystem::exists(entry / "config.toml", absent)) {
      names.push_back(entry.filename().string());
    }
  }
  const std::string name = file.filename().string();
  const std::string near = Nearest(name, names, std::max<std::size_t>(2, name.size() / 4));
  return near.empty() ? "" : (file.parent_path() / near).string();
}

}  // namespace

void ConfigTable::ReadFile(const std::string& path) {
  if (std::error_code ignored; std::filesystem::is_directory(path, ignored)) {
    throw ConfigError(fmt::format("{}: is a folder; use a config file", path));
  }
  if (std::error_code ignored; !std::filesystem::exists(path, ignored)) {
    const std::string near = NearFile(path);
    throw ConfigError(fmt::format("{}: no such file; {}", path,
                                  near.empty() ? "check the path" : DidYouMean(near)));
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
    const std::string advice = advice_ ? advice_(word) : "";
    throw ConfigError(fmt::format("'{}' is not of the form section.key=value{}{}", word,
                                  advice.empty() ? "" : "; ", advice));
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
  Set(key, {*table.get("value")}, std::string(kCommandLine));
}

void ConfigTable::CheckRequired(const std::string& where) const {
  for (const Entry& entry : entries_) {
    if (entry.required && !origin_.contains(entry.key) && entry.is_empty()) {
      throw ConfigError(fmt::format("{}: {} has no default; set it to {} ({} says which)", where,
                                    entry.key, entry.kind,
                                    SuggestedCommand("config keys " + entry.key)));
    }
  }
}

std::string ConfigTable::Origin(const std::string& key) const {
  const auto found = origin_.find(key);
  return found == origin_.end() ? "the default" : found->second;
}

ConfigError ConfigTable::Error(const std::string& key, const std::string& what) const {
  const std::string from = origin_.contains(key) ? Origin(key) + ": " : "";
  return ConfigError(fmt::format("{}{}: {}", from, key, what));
}

std::vector<std::string> ConfigTable::keys() const {
  std::vector<std::string> keys;
  for (const Entry& entry : entries_) keys.push_back(entry.key);
  return keys;
}

const ConfigTable::Entry& ConfigTable::EntryOf(const std::string& key) const {
  const auto found = std::ranges::find(entries_, key, &Entry::key);
  if (found == entries_.end()) throw std::out_of_range(key + " is not a key");
  return *found;
}

const std::string& ConfigTable::KindOf(const std::string& key) const { return EntryOf(key).kind; }

const std::vector<std::string>& ConfigTable::ChoicesOf(const std::string& key) const {
  return EntryOf(key).choices;
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
                ? fmt::format("# SET THIS: {} = …  {}; no default\n", name, entry.kind)
                : fmt::format("{} = {}\n", name, entry.write());
  }
  return text;
}

}  // namespace fastclip
