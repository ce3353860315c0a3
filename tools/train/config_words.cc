#include "tools/train/config_words.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string>
#include <string_view>
#include <vector>

#include "tools/cli/usage_error.h"
#include "trainer/config/config_keys.h"

namespace fastclip {

void AdviseOnOptions(const CLI::App& app, int argc, const char* const* argv) {
  std::vector<std::string> unknown;  // with advice
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "--") break;
    if (!word.starts_with("--")) continue;
    const std::string option(word.substr(0, word.find('=')));
    if (app.get_option_no_throw(option) != nullptr) continue;
    if (const std::string advice = AdviceOn(option); !advice.empty()) {
      unknown.push_back(fmt::format("{}; {}", option, advice));
    }
  }
  if (unknown.empty()) return;
  if (unknown.size() == 1) {
    const std::size_t end = unknown.front().find("; ");
    throw UsageError(fmt::format("unknown option {}; keys are set as section.key=value{}",
                                 unknown.front().substr(0, end), unknown.front().substr(end)));
  }
  throw UsageError(fmt::format("unknown options; keys are set as section.key=value\n  {}",
                               fmt::join(unknown, "\n  ")));
}

}  // namespace fastclip
