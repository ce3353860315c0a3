#include "trainer/eval/class_prompts.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "pipeline/base/nearest.h"
#include "pipeline/base/printable.h"
#include "pipeline/sources/open_source.h"
#include "tokenizer/tokenizer.h"

namespace fastclip {
namespace {

constexpr std::string_view kSlots[] = {"{}", "{c}"};
constexpr std::uintmax_t kMaxFileBytes = 64 << 20;
constexpr std::size_t kMaxClasses = 100'000;

/// The first slot of `text` at or after `from`; size 0 if there is none.
struct Slot {
  std::size_t begin = std::string::npos;
  std::size_t size = 0;
};
Slot FindSlot(std::string_view text, std::size_t from) {
  for (std::size_t begin = text.find('{', from); begin != text.npos;
       begin = text.find('{', begin + 1)) {
    for (const std::string_view slot : kSlots) {
      if (text.substr(begin).starts_with(slot)) return {begin, slot.size()};
    }
  }
  return {};
}

/// What tools/setup.sh installs into a folder.
std::vector<std::string> SetsIn(const std::string& folder) {
  if (folder == "templates") return {"openai", "simple"};
  return {"imagenet"};
}

/// A file of that path takes precedence over a set of that name.
std::string Find(const std::string& file_or_set, const std::string& folder) {
  std::error_code error;
  if (std::filesystem::is_regular_file(file_or_set, error)) return file_or_set;
  if (folder == "templates" && FindSlot(file_or_set, 0).size > 0) {
    throw std::runtime_error(
        fmt::format("'{}': is a template, not a file of templates; write it into a file, one "
                    "template per line, and set that",
                    file_or_set));
  }
  if (file_or_set.empty() || file_or_set.find_first_of("/.") != std::string::npos) {
    throw std::runtime_error(fmt::format("'{}': no such file; check the path", file_or_set));
  }
  const std::vector<std::string> sets = SetsIn(folder);
  if (std::ranges::find(sets, file_or_set) == sets.end()) {
    const std::string near = Nearest(file_or_set, sets, 3);
    throw std::runtime_error(fmt::format("'{}': no such file{} Built in: {}", file_or_set,
                                         near.empty() ? "." : "; " + DidYouMean(near),
                                         fmt::join(sets, ", ")));
  }
  try {
    return SharedFile(folder + "/" + file_or_set + ".txt");
  } catch (const std::runtime_error& missing) {
    throw std::runtime_error(fmt::format("'{}' is not installed: {}", file_or_set, missing.what()));
  }
}

/// Lines, trimmed. A blank line is an error that says what a line holds.
std::vector<std::string> ReadLines(const std::string& path, const char* a_line_holds) {
  static constexpr std::string_view kBlanks = " \t\r\v\f";
  std::error_code error;
  if (std::filesystem::file_size(path, error) > kMaxFileBytes && !error) {
    throw std::runtime_error(path + ": larger than 64 MiB; check that it is a list of names");
  }
  std::ifstream file(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file || file.bad()) {
    throw std::runtime_error(path + ": cannot be read; check its permissions");
  }
  if (text.starts_with("\xEF\xBB\xBF")) text.erase(0, 3);  // a byte-order mark
  std::vector<std::string> lines;
  for (std::size_t start = 0; start < text.size();) {
    const std::size_t end = std::min(text.find('\n', start), text.size());
    std::string_view line = std::string_view(text).substr(start, end - start);
    line.remove_prefix(std::min(line.find_first_not_of(kBlanks), line.size()));
    line = line.substr(0, line.find_last_not_of(kBlanks) + 1);
    if (line.empty()) {
      throw std::runtime_error(
          fmt::format("{}:{}: blank line, but each line must hold {}; remove it", path,
                      lines.size() + 1, a_line_holds));
    }
    lines.emplace_back(line);
    start = end + 1;
  }
  return lines;
}

/// The string inside a line of OpenCLIP's source: lambda c: f'a photo of a {c}.',
std::string Unquoted(const std::string& line) {
  static constexpr std::string_view kLambda = "lambda c: f";
  std::string_view text = line;
  if (!text.starts_with(kLambda)) return line;
  text.remove_prefix(kLambda.size());
  if (text.ends_with(',')) text.remove_suffix(1);
  const bool quoted = text.size() >= 2 && (text.front() == '\'' || text.front() == '"') &&
                      text.back() == text.front();
  return quoted ? std::string(text.substr(1, text.size() - 2)) : line;
}

}  // namespace

std::string ClassPrompts::Sentence(std::size_t which_class, std::size_t which_template) const {
  const std::string& text = templates.at(which_template);
  std::string sentence;
  std::size_t done = 0;
  for (Slot slot = FindSlot(text, 0); slot.size > 0; slot = FindSlot(text, done)) {
    sentence.append(text, done, slot.begin - done).append(classes.at(which_class));
    done = slot.begin + slot.size;
  }
  return sentence.append(text, done);
}

ClassList OpenClasses(const std::string& file_or_set, const std::string& list) {
  if (!file_or_set.empty()) {
    std::vector<std::string> names = ReadClasses(file_or_set);
    auto labels = std::make_shared<ClassNames>(names);
    return {std::move(names), std::move(labels), file_or_set};
  }
  std::vector<std::string> names = ClassesOfList(list);
  const bool is_pattern = list.find_first_of("*?[{:") != list.npos;
  if (names.empty() && !is_pattern && !std::filesystem::exists(list)) {
    throw std::runtime_error(fmt::format("'{}': no such file or folder", list));
  }
  if (names.empty()) {
    throw std::runtime_error(fmt::format(
        "'{}' is not a folder of classes; set a file of class names (one per line) or \"imagenet\"",
        list));
  }
  if (names.size() < 2) {
    throw std::runtime_error(
        fmt::format("{}: only one class, '{}'; at least 2 are needed", list, names.front()));
  }
  auto labels = std::make_shared<ClassNames>(names);
  for (std::string& name : names) std::ranges::replace(name, '_', ' ');
  return {std::move(names), std::move(labels), "the folder names"};
}

std::vector<std::string> ReadClasses(const std::string& file_or_set) {
  const std::string path = Find(file_or_set, "classes");
  std::vector<std::string> names = ReadLines(path, "one class name");
  if (names.size() > kMaxClasses) {
    throw std::runtime_error(fmt::format("{}: more than {} class names", path, kMaxClasses));
  }
  if (names.size() < 2) {
    throw std::runtime_error(fmt::format("{}: {}; at least 2 are needed, one per line", path,
                                         Counted(std::ssize(names), "class name")));
  }
  return names;
}

std::vector<std::string> ReadTemplates(const std::string& file_or_set) {
  const std::string path = Find(file_or_set, "templates");
  std::vector<std::string> templates = ReadLines(path, "one template");
  if (templates.empty()) {
    throw std::runtime_error(path +
                             ": no templates; write one per line, such as 'a photo of a {}.'");
  }
  for (std::size_t i = 0; i < templates.size(); ++i) {
    templates[i] = Unquoted(templates[i]);
    if (FindSlot(templates[i], 0).size > 0) continue;
    throw std::runtime_error(fmt::format(
        "{}:{}: '{}' has no slot for the class name; write {{}} or {{c}} in its place, as in 'a "
        "photo of a {{}}.'",
        path, i + 1, templates[i]));
  }
  return templates;
}

}  // namespace fastclip
