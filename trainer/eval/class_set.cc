#include "trainer/eval/class_set.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>
#include <stdexcept>
#include <utility>

#include "pipeline/base/printable.h"
#include "pipeline/sources/open_source.h"
#include "trainer/eval/class_prompts.h"

namespace fastclip {
namespace {

constexpr std::int64_t kMostClasses = 1'000'000;

std::optional<std::int64_t> NumberOf(const std::string& text) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || end != text.data() + text.size()) return std::nullopt;
  if (error != std::errc{} || number < 2 || number > kMostClasses) {
    throw std::runtime_error(fmt::format("{} is not a valid number of classes; use 2 to {}",
                                         Printable(text), kMostClasses));
  }
  return number;
}

}  // namespace

SourceOptions ClassSet::Labelled(SourceOptions options, const std::string& label_key) const {
  options.captions.clear();
  options.labels = label_key;
  options.class_names = labels;
  return options;
}

std::string ClassSet::Describe() const {
  return names.empty() ? fmt::format("{} classes", count)
                       : fmt::format("{} classes, {}", count, from);
}

ClassSet OpenClassSet(const std::string& classes, const std::string& list) {
  if (const auto number = NumberOf(classes)) {
    const std::vector<std::string> folders = ClassesOfList(list);
    if (!folders.empty() && std::ssize(folders) != *number) {
      throw std::runtime_error(fmt::format(
          "{} classes are set, but {} has {}; leave adapt.classes empty to use their names",
          *number, list, Counted(std::ssize(folders), "folder")));
    }
    return {.count = *number,
            .names = {},
            .labels = std::make_shared<ClassNames>(std::vector<std::string>()),
            .from = fmt::format("a head of {} classes", *number)};
  }
  ClassList read = OpenClasses(classes, list);
  const auto count = static_cast<std::int64_t>(read.prompts.size());
  return {.count = count,
          .names = std::move(read.prompts),
          .labels = std::move(read.names),
          .from = std::move(read.from)};
}

}  // namespace fastclip
