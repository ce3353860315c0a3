#include "trainer/config/explained_config.h"

#include <algorithm>
#include <ranges>

#include "trainer/config/config_keys.h"

namespace fastclip {

std::string ExplainedConfig(const ConfigTable& table) {
  constexpr std::size_t kWidth = 110;
  const std::string text = table.Write([](const std::string& key) {
    const KeyInfo* info = FindKey(key);
    return info == nullptr ? "" : Wrapped(info->text, "# ", kWidth);
  });
  // Values use TOML literal quotes, in which nothing is escaped.
  std::string usual;
  for (const auto part : std::views::split(text, '\n')) {
    std::string line(part.begin(), part.end());
    if (line.find_first_of("#\"\\") == std::string::npos) std::ranges::replace(line, '\'', '"');
    usual += line + "\n";
  }
  usual.pop_back();  // the last part is empty
  return usual;
}

std::string Wrapped(std::string_view text, std::string_view indent, std::size_t width) {
  std::string lines, line;
  for (const auto part : std::views::split(text, ' ')) {
    const std::string_view word(part.begin(), part.end());
    if (!line.empty() && line.size() + 1 + word.size() > width) {
      lines += line + "\n";
      line.clear();
    }
    line += line.empty() ? std::string(indent) : " ";
    line += word;
  }
  return line.empty() ? lines : lines + line + "\n";
}

}  // namespace fastclip
