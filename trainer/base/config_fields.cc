#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <sstream>

#include "trainer/base/config_table.h"
#include "trainer/base/config_value.h"

// The kinds of keys: how a TOML value goes into a field, and how it is written.

namespace fastclip {
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

}  // namespace

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

}  // namespace fastclip
