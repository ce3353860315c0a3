#include "pipeline/shards/number_range.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <stdexcept>
#include <system_error>

#include "pipeline/shards/shard_pattern.h"

namespace fastclip {
namespace {

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

}  // namespace

std::string NumberRange::Name(std::int64_t i) const {
  return fmt::format("{:0{}}", first + i * step, width);
}

NumberRange ParseNumberRange(std::string_view text) {
  const std::size_t dots = text.find("..");
  if (dots == std::string_view::npos) {
    throw std::runtime_error(fmt::format("'{{{}}}' has neither a range nor a comma", text));
  }
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
        "'{{{}}}' is not a range of integers; write {{00000..00331}} or {{0..9..3}}", text));
  }
  const std::int64_t span = *last >= *first ? *last - *first : *first - *last;
  const NumberRange range{.first = *first,
                          .step = *last >= *first ? step : -step,
                          .count = span / step + 1,
                          .width = HasLeadingZero(first_text) || HasLeadingZero(last_text)
                                       ? std::max(first_text.size(), last_text.size())
                                       : 0};
  RefuseManyNames(fmt::format("'{{{}}}' expands to", text), static_cast<std::size_t>(range.count));
  return range;
}

}  // namespace fastclip
