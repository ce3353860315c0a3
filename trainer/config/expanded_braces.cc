#include "trainer/config/expanded_braces.h"

#include <fmt/format.h>

#include <set>

#include "pipeline/base/printable.h"

namespace fastclip {

std::string BracesTheShellExpanded(const std::vector<std::string>& overrides) {
  const auto without_digits = [](std::string word) {
    std::erase_if(word, [](char c) { return c >= '0' && c <= '9'; });
    return word;
  };
  for (const std::string& word : overrides) {
    const std::size_t end = word.find('=');
    if (end == word.npos || word.find('/', end) == word.npos) continue;  // not a path
    std::set<std::string> alike;
    for (const std::string& other : overrides) {
      if (without_digits(other) == without_digits(word)) alike.insert(other);
    }
    if (alike.size() < 2) continue;
    const std::string key = word.substr(0, end);
    return fmt::format(
        "{0} is set {1} times, to {2} and others: the shell has expanded the braces; "
        "quote the value, as in {0}='shards/{{00..09}}.tar'",
        key, alike.size(), Printable(word.substr(end + 1)));
  }
  return "";
}

}  // namespace fastclip
