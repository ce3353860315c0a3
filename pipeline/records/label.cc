#include "pipeline/records/label.h"

#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "pipeline/base/json_path.h"

namespace fastclip {
namespace {

constexpr std::int64_t kLargest = std::int64_t{1} << 53;  // as doubles and other programs have it

/// What may follow a whole number: nothing, or a point and zeros.
bool IsZeroFraction(std::string_view text) {
  return text.empty() || (text.front() == '.' && text.find_first_not_of('0', 1) == text.npos);
}

std::string_view Trimmed(std::string_view text) {
  static constexpr std::string_view kBlanks = " \t\r\n";
  const std::size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) + 1 - first);
}

}  // namespace

Label ParseLabel(std::string_view text) {
  text = Trimmed(text);
  if (text.empty()) return {};
  std::int64_t value = -1;
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, value);
  if (error != std::errc() || !IsZeroFraction({end, last}) || value < 0 || value > kLargest)
    return {-1, Skip::kBadLabel};
  return {value, std::nullopt};
}

Label ParseLabel(std::string_view text, const ClassNames* names) {
  const Label label = ParseLabel(text);
  if (names == nullptr || label.skip != Skip::kBadLabel) return label;
  const auto place = names->Label(Trimmed(text));
  return place ? Label{*place, std::nullopt} : label;
}

LabelKey ParseLabelKey(const std::string& text) {
  if (auto path = ParseJsonPath(text, "label key")) return {std::move(*path), ""};
  return {{}, text};
}

Label LabelAt(const nlohmann::ordered_json& object, std::span<const std::string> path,
              const ClassNames* names) {
  const nlohmann::ordered_json* const node = FindAt(object, path);
  if (node == nullptr) return {};
  if (node->is_null()) return {};
  if (node->is_string()) return ParseLabel(node->get_ref<const std::string&>(), names);
  if (node->is_number_float()) {
    const double number = node->get<double>();
    if (!(number >= 0 && number <= static_cast<double>(kLargest)) || number != std::floor(number))
      return {-1, Skip::kBadLabel};
    return {static_cast<std::int64_t>(number), std::nullopt};
  }
  // Beyond 2^63 it is unsigned, and negative once it is read.
  const std::int64_t value = node->is_number_integer() ? node->get<std::int64_t>() : -1;
  if (value < 0 || value > kLargest) return {-1, Skip::kBadLabel};
  return {value, std::nullopt};
}

}  // namespace fastclip
