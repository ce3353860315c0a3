#include "tools/train/config_words.h"

#include <fmt/format.h>

#include <string>
#include <string_view>

#include "tools/cli/usage_error.h"
#include "trainer/config/config_keys.h"

namespace fastclip {

void AdviseOnOptions(const CLI::App& app, int argc, const char* const* argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "--") return;
    if (!word.starts_with("--")) continue;
    const std::string option(word.substr(0, word.find('=')));
    if (app.get_option_no_throw(option) != nullptr) continue;
    if (const std::string advice = AdviceOn(option); !advice.empty()) {
      throw UsageError(
          fmt::format("unknown option {}; keys are set as section.key=value; {}", option, advice));
    }
  }
}

}  // namespace fastclip
