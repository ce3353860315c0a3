#include "trainer/base/config_table.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <toml++/toml.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>
#include <optional>
#include <sstream>

#include "trainer/base/file_io.h"

namespace fastclip {

struct ConfigTable::Value {
  const toml::node& node;

  template <class Integer>
  std::string ReadInto(Integer& field, std::int64_t least, std::int64_t most) const {
    const auto number = node.value<std::int64_t>();
    if (!node.is_integer() || *number < least || *number > most) {
      return fmt::format("must be a whole number from {} to {}", least, most);
    }
    field = static_cast<Integer>(*number);
    return "";
  }

  std::string ReadInto(std::vector<std::int64_t>& list, std::size_t count, std::int64_t least,
                       std::int64_t most) const {
    const toml::array* given = node.as_array();
    std::vector<std::int64_t> numbers(given == nullptr ? 0 : given->size());
    bool good = !numbers.empty() && numbers.size() == count;
    for (std::size_t i = 0; good && i < count; ++i) {
      good = Value{(*given)[i]}.ReadInto(numbers[i], least, most).empty();
    }
    if (!good) {
      return fmt::format("must be a whole number, or a list of {} of them, from {} to {}", count,
                         least, most);
    }
    list = std::move(numbers);
    return "";
  }
};

namespace {

std::string TomlString(const std::string& text) {
  std::ostringstream out;
  out << toml::value<std::string>(text);
  return out.str();
}

std::string TomlReal(double value) {
  std::string text = fmt::format("{}", value);
  if (text.find_first_of(".en") == std::string::npos) text += ".0";
  return text;
}

constexpr int kMaxKeyParts = 64;

/// The number of the first line whose key, or table's name, has more dots than any of ours: toml++
/// makes and removes what they stand for by recursion. 0: there is none.
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

std::string Nearest(const std::string& word, const std::vector<std::string>& candidates,
                    std::size_t at_most) {
  std::string best;
  std::size_t best_distance = std::numeric_limits<std::size_t>::max();
  for (const std::string& candidate : candidates) {
    std::vector<std::size_t> row(candidate.size() +
                                 1);  // edit distances to the candidate's prefixes
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 1; i <= word.size(); ++i) {
      std::size_t diagonal = std::exchange(row[0], i);
      for (std::size_t j = 1; j <= candidate.size(); ++j) {
        const std::size_t substitute = diagonal + (word[i - 1] == candidate[j - 1] ? 0 : 1);
        diagonal = row[j];
        row[j] = std::min({substitute, row[j] + 1, row[j - 1] + 1});
      }
    }
    if (row.back() <= at_most && row.back() < best_distance) {
      best_distance = row.back();
      best = candidate;
    }
  }
  return best;
}

void ConfigTable::Text(std::string key, std::string& field) {
  entries_.push_back({std::move(key),
                      [&field](const Value& value) -> std::string {
                        const auto text = value.node.value<std::string>();
                        if (!value.node.is_string()) return "must be a text in quotes";
                        field = *text;
                        return "";
                      },
                      [&field] { return TomlString(field); }, false});
}

void ConfigTable::Choice(std::string key, std::string& field, std::vector<std::string> choices,
                         bool required) {
  entries_.push_back({std::move(key),
                      [&field, choices = std::move(choices)](const Value& value) -> std::string {
                        const auto text = value.node.value<std::string>();
                        if (!value.node.is_string() ||
                            std::find(choices.begin(), choices.end(), *text) == choices.end()) {
                          return fmt::format("must be one of \"{}\"", fmt::join(choices, "\", \""));
                        }
                        field = *text;
                        return "";
                      },
                      [&field] { return TomlString(field); }, required,
                      [&field] { return field.empty(); }});
}

void ConfigTable::Flag(std::string key, bool& field) {
  entries_.push_back({std::move(key),
                      [&field](const Value& value) -> std::string {
                        if (!value.node.is_boolean()) return "must be true or false";
                        field = *value.node.value<bool>();
                        return "";
                      },
                      [&field] { return std::string(field ? "true" : "false"); }, false});
}

void ConfigTable::Integer(std::string key, std::int64_t& field, std::int64_t least,
                          std::int64_t most) {
  entries_.push_back(
      {std::move(key),
       [&field, least, most](const Value& value) { return value.ReadInto(field, least, most); },
       [&field] { return std::to_string(field); }, false});
}

void ConfigTable::Integer(std::string key, int& field, std::int64_t least, std::int64_t most) {
  entries_.push_back(
      {std::move(key),
       [&field, least, most](const Value& value) { return value.ReadInto(field, least, most); },
       [&field] { return std::to_string(field); }, false});
}

void ConfigTable::IntegerOrList(std::string key, std::int64_t& field,
                                std::vector<std::int64_t>& list, std::size_t count,
                                std::int64_t least, std::int64_t most) {
  entries_.push_back({std::move(key),
                      [&field, &list, count, least, most](const Value& value) -> std::string {
                        if (value.node.is_integer()) {
                          const std::string wrong = value.ReadInto(field, least, most);
                          if (wrong.empty()) list.clear();
                          return wrong;
                        }
                        return value.ReadInto(list, count, least, most);
                      },
                      [&field, &list] {
                        return list.empty() ? std::to_string(field)
                                            : fmt::format("[{}]", fmt::join(list, ", "));
                      },
                      false});
}

void ConfigTable::IntegerList(std::string key, std::vector<std::int64_t>& list, std::int64_t least,
                              std::int64_t most) {
  entries_.push_back({std::move(key),
                      [&list, least, most](const Value& value) -> std::string {
                        const toml::array* given = value.node.as_array();
                        if (given != nullptr && given->empty()) {
                          list.clear();
                          return "";
                        }
                        const std::size_t count = given == nullptr ? 0 : given->size();
                        return value.ReadInto(list, count, least, most).empty()
                                   ? ""
                                   : fmt::format("must be a list of whole numbers from {} to {}",
                                                 least, most);
                      },
                      [&list] { return fmt::format("[{}]", fmt::join(list, ", ")); }, false});
}

void ConfigTable::TextList(std::string key, std::vector<std::string>& list) {
  entries_.push_back({std::move(key),
                      [&list](const Value& value) -> std::string {
                        const toml::array* given = value.node.as_array();
                        std::vector<std::string> texts;
                        for (std::size_t i = 0; given != nullptr && i < given->size(); ++i) {
                          if (const auto text = given->get(i)->value_exact<std::string>())
                            texts.push_back(*text);
                        }
                        if (given == nullptr || texts.size() != given->size()) {
                          return "must be a list of texts in quotes";
                        }
                        list = std::move(texts);
                        return "";
                      },
                      [&list] {
                        std::vector<std::string> texts;
                        for (const std::string& text : list) texts.push_back(TomlString(text));
                        return fmt::format("[{}]", fmt::join(texts, ", "));
                      },
                      false});
}

void ConfigTable::RealList(std::string key, std::vector<double>& list, double least, double most) {
  entries_.push_back({std::move(key),
                      [&list, least, most](const Value& value) -> std::string {
                        const toml::array* given = value.node.as_array();
                        std::vector<double> numbers;
                        for (std::size_t i = 0; given != nullptr && i < given->size(); ++i) {
                          const auto number = given->get(i)->value<double>();
                          if (number && *number >= least && *number <= most)
                            numbers.push_back(*number);
                        }
                        if (given == nullptr || numbers.size() != given->size()) {
                          return fmt::format("must be a list of numbers from {} to {}", least,
                                             most);
                        }
                        list = std::move(numbers);
                        return "";
                      },
                      [&list] {
                        std::vector<std::string> numbers;
                        for (const double number : list) numbers.push_back(TomlReal(number));
                        return fmt::format("[{}]", fmt::join(numbers, ", "));
                      },
                      false});
}

void ConfigTable::Unsigned(std::string key, std::uint64_t& field) {
  entries_.push_back({std::move(key),
                      [&field](const Value& value) -> std::string {
                        const auto number = value.node.value<std::int64_t>();
                        if (!value.node.is_integer() || *number < 0) {
                          return "must be a whole number of 0 or more";
                        }
                        field = static_cast<std::uint64_t>(*number);
                        return "";
                      },
                      [&field] { return std::to_string(field); }, false});
}

void ConfigTable::Real(std::string key, double& field, double least, double most) {
  entries_.push_back({std::move(key),
                      [&field, least, most](const Value& value) -> std::string {
                        const auto number = value.node.value<double>();
                        if (!value.node.is_number() || !std::isfinite(*number) || *number < least ||
                            *number > most) {
                          return fmt::format("must be a number from {} to {}", least, most);
                        }
                        field = *number;
                        return "";
                      },
                      [&field] { return TomlReal(field); }, false});
}

std::string ConfigTable::KeyLike(const std::string& unknown) const {
  // In a section, a slip of the pen goes before another program's name: optimiser.name.
  constexpr std::size_t kSlip = 2;
  const bool in_section = unknown.find('.') != std::string::npos;
  std::string meant = in_section ? Nearest(unknown, keys(), kSlip) : "";
  if (meant.empty() && hint_) meant = hint_(unknown);
  return meant.empty() ? Nearest(unknown, keys()) : meant;
}

void ConfigTable::Set(const std::string& key, const Value& value, const std::string& where) {
  const auto entry = std::find_if(entries_.begin(), entries_.end(),
                                  [&](const Entry& candidate) { return candidate.key == key; });
  if (entry == entries_.end()) {
    throw ConfigError(
        fmt::format("{}: unknown key {}; did you mean {}?", where, key, KeyLike(key)));
  }
  if (const std::string wrong = entry->set(value); !wrong.empty()) {
    std::ostringstream given;
    given << toml::node_view<const toml::node>(value.node);
    throw ConfigError(fmt::format("{}: {} {}, not {}", where, key, wrong, given.str()));
  }
  origin_[key] = where;
}

template <class SetKey>
void ConfigTable::ReadEach(const std::string& text, const std::string& where, const SetKey& set) {
  toml::table table;
  if (const int line = FirstDeepKey(text); line > 0) {
    throw ConfigError(fmt::format("{}:{}: a key of over {} parts", where, line, kMaxKeyParts));
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
    throw ConfigError(fmt::format("{}: is a folder; name a file", path));
  }
  if (std::error_code ignored; !std::filesystem::exists(path, ignored)) {
    throw ConfigError(fmt::format("{}: no such file; is the path right?", path));
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
  } catch (const std::exception&) {  // no TOML: a bare string, as shells like it
    table = toml::table{{"value", value}};
  }
  Set(key, {*table.get("value")}, "the command line");
}

void ConfigTable::CheckRequired(const std::string& where) const {
  for (const Entry& entry : entries_) {
    if (entry.required && !origin_.contains(entry.key)) {
      throw ConfigError(fmt::format("{}: {} has no default and must be set", where, entry.key));
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

std::vector<std::pair<std::string, std::string>> ConfigTable::Values() const {
  std::vector<std::pair<std::string, std::string>> values;
  for (const Entry& entry : entries_) values.emplace_back(entry.key, entry.write());
  return values;
}

std::string ConfigTable::Write() const {
  std::string text;
  std::string section;
  for (const Entry& entry : entries_) {
    const std::size_t dot = entry.key.find('.');
    const std::string in = dot == std::string::npos ? "" : entry.key.substr(0, dot);
    if (in != section) text += fmt::format("\n[{}]\n", in);
    section = in;
    const std::string name = entry.key.substr(dot == std::string::npos ? 0 : dot + 1);
    text += entry.required && entry.is_empty()
                ? fmt::format("# {} = …  has no default: give it\n", name)
                : fmt::format("{} = {}\n", name, entry.write());
  }
  return text;
}

}  // namespace fastclip
