#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <limits>
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

constexpr std::int64_t kLargest = std::numeric_limits<std::int64_t>::max();

/// For ReadList.
template <class Number>
auto InBounds(Number least, Number most) {
  return [least, most](Number& number, const auto& value) {
    return value.ReadInto(number, least, most);
  };
}

}  // namespace

void ConfigTable::Text(std::string key, std::string& field) {
  entries_.push_back({.key = std::move(key),
                      .kind = "a quoted string",
                      .set = [&field](const Value& value) { return value.ReadInto(field); },
                      .write = [&field] { return TomlString(field); }});
}

void ConfigTable::Choice(std::string key, std::string& field, std::vector<std::string> choices,
                         bool required) {
  entries_.push_back({.key = std::move(key),
                      .kind = fmt::format("one of \"{}\"", fmt::join(choices, "\", \"")),
                      .set =
                          [&field, choices](const Value& value) {
                            std::string text;
                            if (!value.ReadInto(text)) return false;
                            if (std::ranges::find(choices, text) == choices.end()) return false;
                            field = std::move(text);
                            return true;
                          },
                      .write = [&field] { return TomlString(field); },
                      .required = required,
                      .is_empty = [&field] { return field.empty(); },
                      .choices = choices});
}

void ConfigTable::Flag(std::string key, bool& field) {
  entries_.push_back({.key = std::move(key),
                      .kind = "true or false",
                      .set =
                          [&field](const Value& value) {
                            const auto flag = value.node.value_exact<bool>();
                            if (flag) field = *flag;
                            return flag.has_value();
                          },
                      .write = [&field] { return std::string(field ? "true" : "false"); },
                      .choices = {"true", "false"}});
}

template <class IntegerType>
void ConfigTable::AddInteger(std::string key, IntegerType& field, std::int64_t least,
                             std::int64_t most) {
  entries_.push_back({.key = std::move(key),
                      .kind = fmt::format("an integer from {} to {}", least, most),
                      .set = [&field, least, most](
                                 const Value& value) { return value.ReadInto(field, least, most); },
                      .write = [&field] { return std::to_string(field); }});
}

void ConfigTable::Integer(std::string key, std::int64_t& field, std::int64_t least,
                          std::int64_t most) {
  AddInteger(std::move(key), field, least, most);
}

void ConfigTable::Integer(std::string key, int& field, std::int64_t least, std::int64_t most) {
  AddInteger(std::move(key), field, least, most);
}

void ConfigTable::IntegerOrList(std::string key, std::int64_t& field,
                                std::vector<std::int64_t>& list, std::size_t count,
                                std::int64_t least, std::int64_t most) {
  entries_.push_back({.key = std::move(key),
                      .kind = fmt::format("an integer, or a list of {} integers, from {} to {}",
                                          count, least, most),
                      .set =
                          [&field, &list, count, least, most](const Value& value) {
                            if (value.node.is_integer()) {
                              if (!value.ReadInto(field, least, most)) return false;
                              list.clear();
                              return true;
                            }
                            std::vector<std::int64_t> numbers;
                            if (!value.ReadList(numbers, InBounds(least, most))) return false;
                            if (numbers.size() != count) return false;
                            list = std::move(numbers);
                            return true;
                          },
                      .write =
                          [&field, &list] {
                            return list.empty() ? std::to_string(field)
                                                : fmt::format("[{}]", fmt::join(list, ", "));
                          }});
}

void ConfigTable::IntegerList(std::string key, std::vector<std::int64_t>& list, std::int64_t least,
                              std::int64_t most) {
  entries_.push_back(
      {.key = std::move(key),
       .kind = fmt::format("a list of integers from {} to {}", least, most),
       .set = [&list, least,
               most](const Value& value) { return value.ReadList(list, InBounds(least, most)); },
       .write = [&list] { return fmt::format("[{}]", fmt::join(list, ", ")); }});
}

void ConfigTable::TextList(std::string key, std::vector<std::string>& list) {
  const auto read = [](std::string& text, const auto& value) { return value.ReadInto(text); };
  entries_.push_back(
      {.key = std::move(key),
       .kind = "a list of quoted strings",
       .set = [&list, read](const Value& value) { return value.ReadList(list, read); },
       .write =
           [&list] {
             std::vector<std::string> texts;
             for (const std::string& text : list) texts.push_back(TomlString(text));
             return fmt::format("[{}]", fmt::join(texts, ", "));
           }});
}

void ConfigTable::RealList(std::string key, std::vector<double>& list, double least, double most) {
  entries_.push_back(
      {.key = std::move(key),
       .kind = fmt::format("a list of numbers from {} to {}", least, most),
       .set = [&list, least,
               most](const Value& value) { return value.ReadList(list, InBounds(least, most)); },
       .write =
           [&list] {
             std::vector<std::string> numbers;
             for (const double number : list) numbers.push_back(TomlReal(number));
             return fmt::format("[{}]", fmt::join(numbers, ", "));
           }});
}

void ConfigTable::Unsigned(std::string key, std::uint64_t& field) {
  entries_.push_back(
      {.key = std::move(key),
       .kind = "an integer >= 0",
       .set = [&field](const Value& value) { return value.ReadInto(field, 0, kLargest); },
       .write = [&field] { return std::to_string(field); }});
}

void ConfigTable::Real(std::string key, double& field, double least, double most) {
  entries_.push_back({.key = std::move(key),
                      .kind = most == std::numeric_limits<double>::max()
                                  ? fmt::format("a number >= {}", least)
                                  : fmt::format("a number from {} to {}", least, most),
                      .set = [&field, least, most](
                                 const Value& value) { return value.ReadInto(field, least, most); },
                      .write = [&field] { return TomlReal(field); }});
}

}  // namespace fastclip
