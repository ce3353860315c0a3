#include "trainer/eval/class_prompts.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string_view>
#include <unordered_map>

#include "tokenizer/tokenizer.h"

namespace fastclip {
namespace {

constexpr std::string_view kSlot = "{}";

struct TextFile {
  std::string path;
  bool is_set = false;  // it lies in the share folder
};

/// A file of that path goes before a set of that name.
TextFile Find(const std::string& file_or_set, const std::string& folder) {
  std::error_code error;
  if (std::filesystem::is_regular_file(file_or_set, error)) return {file_or_set, false};
  if (file_or_set.empty() || file_or_set.find_first_of("/.") != std::string::npos) {
    throw std::runtime_error(fmt::format("'{}': no such file; is the path right?", file_or_set));
  }
  try {
    return {SharedFile(folder + "/" + file_or_set + ".txt"), true};
  } catch (const std::runtime_error& missing) {
    throw std::runtime_error(fmt::format("there is no file '{}', and as the name of a set: {}",
                                         file_or_set, missing.what()));
  }
}

/// Lines without blanks at their ends; a blank one is an error that says what a line holds.
std::vector<std::string> ReadLines(const std::string& path, const char* a_line_holds) {
  static constexpr std::string_view kBlanks = " \t\r\v\f";
  std::ifstream file(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file || file.bad()) {
    throw std::runtime_error(path + ": cannot be read; may you read it?");
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
          fmt::format("{}:{}: a blank line; each line holds {}: fill it or remove it", path,
                      lines.size() + 1, a_line_holds));
    }
    lines.emplace_back(line);
    start = end + 1;
  }
  return lines;
}

std::string Lower(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

void RefuseEqualNames(const std::string& path, const std::vector<std::string>& names) {
  std::unordered_map<std::string, std::size_t> seen;  // line by name; tokenizers fold capitals
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto [before, fresh] = seen.emplace(Lower(names[i]), i);
    if (fresh) continue;
    throw std::runtime_error(fmt::format(
        "{}:{}: '{}' stands in line {}, too, and a model cannot tell equal names apart: add a word "
        "that does, as in 'crane (bird)'",
        path, i + 1, names[i], before->second + 1));
  }
}

}  // namespace

std::string ClassPrompts::Sentence(std::size_t which_class, std::size_t which_template) const {
  const std::string& name = classes.at(which_class);
  std::string sentence = templates.at(which_template);
  for (std::size_t slot = sentence.find(kSlot); slot != std::string::npos;
       slot = sentence.find(kSlot, slot + name.size())) {
    sentence.replace(slot, kSlot.size(), name);
  }
  return sentence;
}

std::vector<std::string> ReadClasses(const std::string& file_or_set) {
  const TextFile file = Find(file_or_set, "classes");
  std::vector<std::string> names = ReadLines(file.path, "one class name, whose label is the line");
  if (names.size() < 2) {
    throw std::runtime_error(fmt::format(
        "{}: {} class names; a choice needs two or more, one a line", file.path, names.size()));
  }
  if (!file.is_set) RefuseEqualNames(file.path, names);
  return names;
}

std::vector<std::string> ReadTemplates(const std::string& file_or_set) {
  const TextFile file = Find(file_or_set, "templates");
  std::vector<std::string> templates = ReadLines(file.path, "one template");
  if (templates.empty()) {
    throw std::runtime_error(file.path +
                             ": no templates; write one a line, as in 'a photo of a {}.'");
  }
  for (std::size_t i = 0; i < templates.size(); ++i) {
    if (templates[i].find(kSlot) != std::string::npos) continue;
    throw std::runtime_error(
        fmt::format("{}:{}: '{}' has no slot for the class name: write {{}} where it goes, as in "
                    "'a photo of a {{}}.'",
                    file.path, i + 1, templates[i]));
  }
  return templates;
}

}  // namespace fastclip
