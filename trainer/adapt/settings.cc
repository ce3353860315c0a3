#include "trainer/adapt/settings.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <stdexcept>

#include "pipeline/base/nearest.h"
#include "pipeline/base/printable.h"

namespace fastclip {
namespace {

template <class Number>
bool Parse(const std::string& text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} && end == text.data() + text.size();
}

}  // namespace

void TunerSettings::Fail(std::string_view reason) const {
  throw std::invalid_argument(fmt::format("tuner \"{}\": {}", Printable(spec_.text), reason));
}

const std::string* TunerSettings::Find(std::string_view name) {
  read_.emplace_back(name);
  const auto found = std::ranges::find(spec_.settings, name, &TunerSetting::name);
  return found == spec_.settings.end() ? nullptr : &found->value;
}

std::int64_t TunerSettings::Integer(std::string_view name, std::int64_t fallback,
                                    std::int64_t least, std::int64_t most) {
  const std::string* text = Find(name);
  if (!text) return fallback;
  std::int64_t value = 0;
  if (!Parse(*text, value) || value < least || value > most) {
    Fail(fmt::format("{} must be an integer from {} to {}, not '{}'", name, least, most,
                     Printable(*text)));
  }
  return value;
}

double TunerSettings::Real(std::string_view name, double fallback, double least, double most) {
  const std::string* text = Find(name);
  if (!text) return fallback;
  double value = 0;
  if (!Parse(*text, value) || !(value >= least && value <= most)) {
    Fail(fmt::format("{} must be a number from {} to {}, not '{}'", name, least, most,
                     Printable(*text)));
  }
  return value;
}

bool TunerSettings::Flag(std::string_view name, bool fallback) {
  const std::string* text = Find(name);
  if (!text) return fallback;
  if (*text != "true" && *text != "false") {
    Fail(fmt::format("{} must be true or false, not '{}'", name, Printable(*text)));
  }
  return *text == "true";
}

std::string TunerSettings::Choice(std::string_view name, const std::vector<std::string>& choices) {
  const std::string* text = Find(name);
  if (!text) return choices.front();
  if (std::ranges::find(choices, *text) == choices.end()) {
    Fail(fmt::format("{} must be {}, not '{}'", name, fmt::join(choices, ", "), Printable(*text)));
  }
  return *text;
}

bool TunerSettings::Has(std::string_view name) const {
  return std::ranges::find(spec_.settings, name, &TunerSetting::name) != spec_.settings.end();
}

std::vector<std::int64_t> TunerSettings::Integers(std::string_view name) {
  std::vector<std::int64_t> values;
  const std::string* text = Find(name);
  std::size_t first = 0;
  while (text && first <= text->size()) {
    const std::size_t end = std::min(text->find(',', first), text->size());
    std::int64_t value = 0;
    if (!Parse(text->substr(first, end - first), value) || value < 0 ||
        std::ranges::find(values, value) != values.end()) {
      Fail(fmt::format("{} must be distinct numbers, separated by commas, not '{}'", name,
                       Printable(*text)));
    }
    values.push_back(value);
    first = end + 1;
  }
  return values;
}

void TunerSettings::RefuseUnread() const {
  for (const TunerSetting& setting : spec_.settings) {
    if (std::ranges::find(read_, setting.name) != read_.end()) continue;
    const std::string near = Nearest(setting.name, read_, 2);
    Fail(fmt::format(
        "{} has no setting '{}'; {}", spec_.kind, Printable(setting.name),
        near.empty() ? fmt::format("it has {}", fmt::join(read_, ", ")) : DidYouMean(near)));
  }
}

}  // namespace fastclip
