#pragma once

#include <fmt/format.h>
#include <toml++/toml.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "trainer/base/config_table.h"

// For config_table.cc and config_fields.cc alone.

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

}  // namespace fastclip
