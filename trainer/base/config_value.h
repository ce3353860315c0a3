#pragma once

#include <toml++/toml.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "trainer/base/config_table.h"

// Only for config_table.cc and config_fields.cc.

namespace fastclip {

struct ConfigTable::Value {
  const toml::node& node;

  /// Returns false and leaves the field if the value has another type or is out of bounds.
  template <class IntegerType>
  bool ReadInto(IntegerType& field, std::int64_t least, std::int64_t most) const {
    const auto number = node.value<std::int64_t>();
    if (!node.is_integer() || *number < least || *number > most) return false;
    field = static_cast<IntegerType>(*number);
    return true;
  }

  bool ReadInto(double& field, double least, double most) const {
    const auto number = node.value<double>();
    if (!node.is_number() || !std::isfinite(*number) || *number < least || *number > most) {
      return false;
    }
    field = *number;
    return true;
  }

  bool ReadInto(std::string& field) const {
    const auto text = node.value_exact<std::string>();
    if (text) field = *text;
    return text.has_value();
  }

  /// Calls `read(element, value)` for each element of a list.
  template <class Element, class Read>
  bool ReadList(std::vector<Element>& list, const Read& read) const {
    const toml::array* given = node.as_array();
    if (given == nullptr) return false;
    std::vector<Element> elements(given->size());
    for (std::size_t i = 0; i < elements.size(); ++i) {
      if (!read(elements[i], Value{*given->get(i)})) return false;
    }
    list = std::move(elements);
    return true;
  }
};

}  // namespace fastclip
